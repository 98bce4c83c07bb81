-- Beyond the $2 newest of a user. Its caller holds the user's row. Whose a session is, is compared again on the locked
-- row: it may have become somebody else's.
UPDATE /*schema*/pgcoherence.session AS e
SET revoked_at = clock_timestamp(), revoke_reason = $3, revoked_by = nullif($4::text, ''), sweep_at = clock_timestamp() + interval '1 hour',
    data = '', wrapped = NULL, prev_wrapped = NULL, next_salt = NULL, version = e.version + 1
WHERE e.revoked_at IS NULL AND e.user_id = $1 AND e.key IN (
    SELECT s.key FROM /*schema*/pgcoherence.session AS s
    WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
    ORDER BY s.created_at DESC, s.id DESC OFFSET $2
)
RETURNING e.id::text, e.key, e.prev_key, coalesce(e.user_id, '')
