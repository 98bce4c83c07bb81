-- A session by its public id, whether it is valid or not: the columns of list.sql, whether it is valid, when and why it was
-- ended, and its keys. $1 id.
SELECT s.id::text, coalesce(s.user_id, ''), s.created_at, s.authenticated_at, s.rotated_at, s.last_seen, s.expires_at,
    coalesce((extract(epoch FROM s.idle) * 1000000)::bigint, 0), coalesce(s.issuer, ''), coalesce(s.sid, ''), s.device, coalesce(s.last_address, ''),
    s.revoked_at IS NULL AND s.expires_at > clock_timestamp() AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
        AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id)),
    s.revoked_at, coalesce(s.revoke_reason, ''), s.key, s.prev_key
FROM /*schema*/pgcoherence.session AS s
WHERE s.id = $1::text::uuid
