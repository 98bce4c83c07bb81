-- A user without a row, whose first login may be under way: made, to be deleted.
INSERT INTO /*schema*/pgcoherence.session_user (user_id, gen) VALUES ($1, /*schema*/pgcoherence.next_generation())
ON CONFLICT (user_id) DO NOTHING
