-- Newest first.
SELECT s.id::text, coalesce(s.user_id, ''), s.created_at, s.authenticated_at, s.rotated_at, s.last_seen, s.expires_at,
    coalesce((extract(epoch FROM s.idle) * 1000000)::bigint, 0), coalesce(s.issuer, ''), coalesce(s.sid, ''), s.device, coalesce(s.last_address, '')
FROM /*schema*/pgcoherence.session AS s
WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
ORDER BY s.created_at DESC, s.id DESC
LIMIT $2
