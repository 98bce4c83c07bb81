-- Whatever carries the old generation is invalid from the commit on, sessions of logins under way included.
INSERT INTO /*schema*/pgcoherence.session_user AS u (user_id, gen, ended_at) VALUES ($1, 1, clock_timestamp())
ON CONFLICT (user_id) DO UPDATE SET gen = u.gen + 1, ended_at = clock_timestamp()
RETURNING u.tag::text
