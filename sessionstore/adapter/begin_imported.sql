-- $1 the user of a session that is imported, empty for none, $2 and $3 what the import has noted. As for a login, and
-- whether the sessions of the user, or all there are, were ended since.
SELECT coalesce(u.gen, greatest(f.gen, t.floor, 0)), coalesce(u.ended_at >= $2, false) OR coalesce(f.at >= $2, false) OR t.floor <> $3
FROM /*schema*/pgcoherence.session_state AS t
LEFT JOIN /*schema*/pgcoherence.session_user AS u ON u.user_id = $1
LEFT JOIN /*schema*/pgcoherence.session_forgotten AS f ON f.user_hash = sha256(convert_to($1, 'UTF8'))
