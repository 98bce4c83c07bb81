-- The difference by topic only, for when it is too large to be read event by event: every topic counts as a whole.
-- $1 base xmax, $2 transactions in progress in the base.
SELECT identity, secret, pruned_to, current, now_at, NULL::xid8 AS xid, NULL::integer AS n, NULL::text AS topic,
       NULL::text[] AS keys, NULL::boolean AS whole, NULL::bigint AS at, NULL::bigint AS bytes
FROM (SELECT /*schema*/pgcoherence.identity() AS identity, encode(substr(e.secret, 1, 1024), 'hex') AS secret, e.pruned_to::text,
             pg_current_snapshot()::text AS current, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_at
      FROM (VALUES (true)) AS always (one) LEFT JOIN /*schema*/pgcoherence.epoch AS e USING (one)) AS head
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, topic, '{}', true,
       (extract(epoch FROM min(at) FILTER (WHERE at BETWEEN now() - interval '1 year' AND now() + interval '1 hour')) * 1000000)::bigint, 64
FROM (SELECT xid, topic, at FROM /*schema*/pgcoherence.event WHERE xid >= $1::xid8
      UNION ALL
      SELECT xid, topic, at FROM /*schema*/pgcoherence.event WHERE xid = ANY ($2::text[]::xid8[])) AS d
WHERE pg_visible_in_snapshot(xid, pg_current_snapshot()) AND octet_length(topic) BETWEEN 1 AND 200
GROUP BY topic
