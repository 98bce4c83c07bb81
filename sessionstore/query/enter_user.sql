-- A user's first login makes the row, unless the user was deleted, or all sessions of all users ended, since it began ($2).
-- One that is there already is left alone.
SELECT /*schema*/pgcoherence.session_enter($1::text, $2::bigint)
