-- Everything that became visible between the base snapshot and this statement's own, in one statement and so in one
-- snapshot; the first row is the head. $1 base xmax, $2 transactions in progress in the base, $3 row limit, $4 limit of
-- bytes: the row that goes beyond it is the last.
-- Times are microseconds and the secret is hexadecimal: behind a pooler, anything may be set about how they look as text.
-- Own connections switch sequential scans off: after one transaction of 300,000 events the planner chose one (23 ms
-- against 0.1 ms on the index).
-- Whatever a writer has put into a row, it can be read: a topic that is too long is null, keys that cannot be read (more
-- dimensions, nulls, too many, megabytes) are null and stand for the whole topic, a time that cannot be is null. Sizes
-- are those in the table, so that nothing large is unpacked to be measured; packed, they count twenty times.
SELECT identity, secret, pruned_to, current, now_at, NULL::xid8 AS xid, NULL::integer AS n, NULL::text AS topic,
       NULL::text[] AS keys, NULL::boolean AS whole, NULL::bigint AS at, NULL::bigint AS bytes
FROM (SELECT /*schema*/pgcoherence.identity() AS identity, encode(substr(e.secret, 1, 1024), 'hex') AS secret, e.pruned_to::text,
             pg_current_snapshot()::text AS current, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_at
      FROM (VALUES (true)) AS always (one) LEFT JOIN /*schema*/pgcoherence.epoch AS e USING (one)) AS head
UNION ALL
(SELECT NULL, NULL, NULL, NULL, NULL, xid, n,
        CASE WHEN octet_length(topic) BETWEEN 1 AND 200 THEN topic END,
        CASE WHEN NOT whole THEN
            CASE WHEN pg_column_size(keys) > CASE WHEN pg_column_compression(keys) IS NULL THEN 1200000 ELSE 100000 END THEN NULL
                  WHEN array_ndims(keys) > 1 THEN NULL
                  WHEN array_position(keys, NULL) IS NOT NULL THEN NULL
                  WHEN cardinality(keys) > 20000 THEN NULL
                  ELSE keys END
             ELSE '{}' END,
        whole,
        CASE WHEN at BETWEEN now() - interval '1 year' AND now() + interval '1 hour' THEN (extract(epoch FROM at) * 1000000)::bigint END, bytes
 FROM (SELECT xid, n, topic, keys, whole, at, size, sum(size) OVER (ROWS UNBOUNDED PRECEDING) AS bytes
       FROM (SELECT xid, n, topic, keys, whole, at FROM /*schema*/pgcoherence.event WHERE xid >= $1::xid8
             UNION ALL
             SELECT xid, n, topic, keys, whole, at FROM /*schema*/pgcoherence.event WHERE xid = ANY ($2::text[]::xid8[])) AS d,
            LATERAL (SELECT 64 + pg_column_size(keys) * CASE WHEN pg_column_compression(keys) IS NULL THEN 1 ELSE 20 END AS size) AS s
       WHERE pg_visible_in_snapshot(xid, pg_current_snapshot())
       LIMIT $3) AS limited
 WHERE bytes - size <= $4)
