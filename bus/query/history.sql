-- What the log still holds of one topic, the newest first, in one snapshot with the head, which is the first row: $1 the
-- topic, $2 a limit. Rows that pruned_to sees may be there or not. Keys that cannot be read are null, as in
-- difference.sql, and stand for the whole topic. A row may name a transaction that has not begun: no pod wrote it.
SELECT identity, pruned_to, NULL::xid8 AS xid, NULL::text[] AS keys, NULL::boolean AS whole
FROM (SELECT /*schema*/pgcoherence.identity() AS identity, (SELECT pruned_to::text FROM /*schema*/pgcoherence.epoch)) AS head
UNION ALL
(SELECT NULL, NULL, xid,
        CASE WHEN NOT whole THEN
            CASE WHEN pg_column_size(keys) > CASE WHEN pg_column_compression(keys) IS NULL THEN 1200000 ELSE 100000 END THEN NULL
                  WHEN array_ndims(keys) > 1 THEN NULL
                  WHEN array_position(keys, NULL) IS NOT NULL THEN NULL
                  WHEN cardinality(keys) > 20000 THEN NULL
                  ELSE keys END
             ELSE '{}' END,
        whole
 FROM /*schema*/pgcoherence.event WHERE topic = $1 AND xid < pg_snapshot_xmax(pg_current_snapshot()) ORDER BY xid DESC LIMIT $2)
