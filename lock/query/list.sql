-- The leases that are held. $1 first characters of the key, $2 at most, $3 only keys after this one.
SELECT l.key, l.token, l.owner, true AS held,
       (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM l.expires_at - clock_timestamp()) * 1000)::bigint AS remaining_ms,
       l.meta::text,
       (SELECT count(*) FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.key = l.key) AS waiters
FROM /*schema*/pgcoherence.lease AS l
WHERE l.expires_at > clock_timestamp() AND l.key > $3::text COLLATE "C" AND starts_with(l.key, $1::text)
ORDER BY l.key
LIMIT $2::bigint
