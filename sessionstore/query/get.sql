-- $1 first half of the token's hash. What is wrong with the row is said and not filtered: the caller tells a revoked
-- session from an unknown one. Remaining times are in microseconds by this server's clock: the caller counts them down
-- from the moment before it asked.
SELECT s.key = $1, s.key, s.prev_key,
    CASE WHEN s.key = $1 THEN s.proof ELSE s.prev_proof END,
    CASE WHEN s.key = $1 THEN s.wrapped ELSE s.prev_wrapped END,
    s.id::text, coalesce(s.user_id, ''), coalesce(u.tag::text, ''), s.version, s.data, s.device, coalesce(s.issuer, ''), coalesce(s.sid, ''),
    s.created_at, s.authenticated_at, s.rotated_at, s.last_seen, s.expires_at, coalesce(s.last_address, ''),
    coalesce((extract(epoch FROM s.idle) * 1000000)::bigint, 0),
    (extract(epoch FROM s.expires_at - now.at) * 1000000)::bigint,
    (extract(epoch FROM now.at - s.last_seen) * 1000000)::bigint,
    (extract(epoch FROM now.at - s.rotated_at) * 1000000)::bigint,
    coalesce((extract(epoch FROM s.prev_until - now.at) * 1000000)::bigint, 0),
    s.revoked_at IS NOT NULL OR s.user_id IS NOT NULL AND s.gen IS DISTINCT FROM u.gen,
    s.last_write::text, s.proof, s.next_salt, s.prev_grace IS NOT NULL
FROM /*schema*/pgcoherence.session AS s
LEFT JOIN /*schema*/pgcoherence.session_user AS u ON u.user_id = s.user_id
CROSS JOIN (SELECT clock_timestamp() AS at) AS now
WHERE s.key = $1 OR s.prev_key = $1
