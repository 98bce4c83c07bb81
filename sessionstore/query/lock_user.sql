-- Logins of one user one after the other, so that a limit on sessions holds. Foreign to everything but other logins and
-- the end of all sessions.
SELECT gen FROM /*schema*/pgcoherence.session_user WHERE user_id = $1 FOR NO KEY UPDATE
