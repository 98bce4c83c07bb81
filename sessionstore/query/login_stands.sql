-- Whether a login that carries $2 may still begin a session of user $1.
SELECT EXISTS (SELECT FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = $1 AND (u.gen = $2 OR u.opened_by = $2))
