-- $1 keys.
SELECT l.key, l.token, l.owner, l.expires_at > clock_timestamp() AS held,
       (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM CASE WHEN isfinite(l.expires_at) THEN l.expires_at - clock_timestamp() END) * 1000)::bigint AS remaining_ms,
       l.meta::text,
       (SELECT count(*) FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.key = k.key AND w.place >= l.head) AS waiters,
       coalesce(l.group_token = l.token, false) AS shared, CASE WHEN l.group_token = l.token THEN l.group_limit ELSE 0 END AS max_group,
       CASE WHEN l.expires_at <= clock_timestamp() THEN 0 WHEN l.group_token = l.token THEN (
           SELECT count(*) FROM /*schema*/pgcoherence.lease_share AS s
           WHERE s.key = l.key AND s.token >= l.first_share AND s.expires_at > clock_timestamp()
       ) ELSE 1 END AS holders
FROM unnest($1::text[]) AS k (key)
     CROSS JOIN LATERAL (
         SELECT r.* FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = k.key ORDER BY r.rev DESC LIMIT 1
     ) AS l
