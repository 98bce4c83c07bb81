-- The leases that are held. $1 first characters of the key, $2 at most, $3 only keys after this one.
SELECT l.key, l.token, l.owner, true AS held,
       (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM l.expires_at - clock_timestamp()) * 1000)::bigint AS remaining_ms,
       l.meta::text,
       (SELECT count(*) FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.key = l.key) AS waiters,
       coalesce(l.group_token = l.token, false) AS shared, CASE WHEN l.group_token = l.token THEN l.group_limit ELSE 0 END AS max_group,
       CASE WHEN l.expires_at <= clock_timestamp() THEN 0 WHEN l.group_token = l.token THEN (
           SELECT count(*) FROM /*schema*/pgcoherence.lease_share AS s
           WHERE s.key = l.key AND s.token >= l.first_share AND s.expires_at > clock_timestamp()
       ) ELSE 1 END AS holders
FROM /*schema*/pgcoherence.lease AS l
WHERE l.expires_at > clock_timestamp() AND l.key > $3::text COLLATE "C" AND starts_with(l.key, $1::text)
ORDER BY l.key
LIMIT $2::bigint
