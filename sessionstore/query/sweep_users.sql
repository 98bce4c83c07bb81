-- Users whose sessions were all ended, and are still to be emptied. A user's row is locked before those of sessions, as
-- everywhere.
SELECT u.user_id, u.gen FROM /*schema*/pgcoherence.session_user AS u
WHERE u.unswept ORDER BY u.user_id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
