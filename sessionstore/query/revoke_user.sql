-- Whatever carries another generation is invalid from the commit on, sessions of logins under way included.
INSERT INTO /*schema*/pgcoherence.session_user AS u (user_id, gen, ended_at, ended_by)
VALUES ($1, /*schema*/pgcoherence.next_generation(), clock_timestamp(), nullif($2::text, ''))
ON CONFLICT (user_id) DO UPDATE SET gen = EXCLUDED.gen, ended_at = EXCLUDED.ended_at, ended_by = EXCLUDED.ended_by
RETURNING u.tag::text
