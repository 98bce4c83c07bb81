-- Who holds a key: one, or all of a group. $1 key, $2 at most, $3 only those with a larger token than this.
SELECT h.key, h.token, h.owner, true AS held,
       (extract(epoch FROM clock_timestamp() - h.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM h.expires_at - clock_timestamp()) * 1000)::bigint AS remaining_ms,
       h.meta::text, 0::bigint AS waiters, h.shared, h.max_group, 1::bigint AS holders
FROM (
    SELECT r.* FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = $1::text ORDER BY r.rev DESC LIMIT 1
) AS l CROSS JOIN LATERAL (
    SELECT l.key, l.token, l.owner, l.since, l.expires_at, l.meta, false AS shared, 0 AS max_group
    WHERE l.group_token IS DISTINCT FROM l.token AND l.token > $3::bigint
    UNION ALL
    SELECT s.key, s.token, s.owner, s.since, s.expires_at, s.meta, true, l.group_limit FROM /*schema*/pgcoherence.lease_share AS s
    WHERE l.group_token = l.token AND s.key = $1::text AND s.token >= greatest(l.first_share, $3::bigint + 1)
) AS h
WHERE l.expires_at > clock_timestamp() AND h.expires_at > clock_timestamp()
ORDER BY h.token
LIMIT $2::bigint
