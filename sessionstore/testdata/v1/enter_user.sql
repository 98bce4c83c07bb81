-- A user's first login makes the row. One that is there already is left alone.
INSERT INTO /*schema*/pgcoherence.session_user (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING
