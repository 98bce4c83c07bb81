-- $1 keys.
SELECT l.key, l.token, l.owner, l.expires_at > clock_timestamp() AS held,
       (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM CASE WHEN isfinite(l.expires_at) THEN l.expires_at - clock_timestamp() END) * 1000)::bigint AS remaining_ms,
       l.meta::text,
       (SELECT count(*) FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.key = l.key) AS waiters
FROM /*schema*/pgcoherence.lease AS l
WHERE l.key = ANY ($1::text[])
