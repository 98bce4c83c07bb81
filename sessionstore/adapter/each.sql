-- All valid sessions with what can be read without their tokens. The columns of list.sql come first.
SELECT s.id::text, coalesce(s.user_id, ''), s.created_at, s.authenticated_at, s.rotated_at, s.last_seen, s.expires_at,
    coalesce((extract(epoch FROM s.idle) * 1000000)::bigint, 0), coalesce(s.issuer, ''), coalesce(s.sid, ''), s.device, coalesce(s.last_address, ''),
    s.version, s.data,
    (extract(epoch FROM s.expires_at - clock_timestamp()) * 1000000)::bigint,
    (extract(epoch FROM clock_timestamp() - s.last_seen) * 1000000)::bigint
FROM /*schema*/pgcoherence.session AS s
LEFT JOIN /*schema*/pgcoherence.session_user AS u ON u.user_id = s.user_id
WHERE s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = u.gen)
