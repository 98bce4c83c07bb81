-- The names of the events that became visible between the base snapshot and this statement's own: enough for a sweep to see
-- which of them no pod has announced. Reading the events themselves takes both sides some twenty times as long. $1 base
-- xmax, $2 transactions in progress in the base, $3 row limit. An event without a number has one that none can have: 2^32.
SELECT /*schema*/pgcoherence.identity(), e.pruned_to::text, pg_current_snapshot()::text, names.xids, names.numbers
FROM (VALUES (true)) AS always (one)
LEFT JOIN /*schema*/pgcoherence.epoch AS e USING (one)
CROSS JOIN (
    SELECT array_agg(xid) AS xids, array_agg(coalesce(n::bigint, 4294967296)) AS numbers
    FROM (SELECT xid, n
          FROM (SELECT xid, n FROM /*schema*/pgcoherence.event WHERE xid >= $1::xid8
                UNION ALL
                SELECT xid, n FROM /*schema*/pgcoherence.event WHERE xid = ANY ($2::text[]::xid8[])) AS d
          WHERE pg_visible_in_snapshot(xid, pg_current_snapshot())
          LIMIT $3) AS limited
) AS names
