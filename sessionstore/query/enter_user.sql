-- A user's first login makes the row, unless the user was deleted, or all sessions of all users ended, since it began ($2).
-- One that is there already is left alone.
INSERT INTO /*schema*/pgcoherence.session_user (user_id, gen, opened_by)
SELECT $1::text, /*schema*/pgcoherence.next_generation(), $2::bigint
WHERE $2::bigint = coalesce(
    (SELECT f.gen FROM /*schema*/pgcoherence.session_forgotten AS f WHERE f.user_hash = sha256(convert_to($1::text, 'UTF8'))),
    (SELECT t.floor FROM /*schema*/pgcoherence.session_state AS t), 0)
ON CONFLICT (user_id) DO NOTHING
