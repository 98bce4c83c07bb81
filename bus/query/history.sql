-- What the log still holds of one topic, the newest first, in one snapshot with the head, which is the first row: $1 the
-- topic, $2 a limit. Rows that pruned_to sees may be there or not.
SELECT identity, pruned_to, NULL::xid8 AS xid, NULL::text[] AS keys, NULL::boolean AS whole
FROM (SELECT /*schema*/pgcoherence.identity() AS identity, (SELECT pruned_to::text FROM /*schema*/pgcoherence.epoch)) AS head
UNION ALL
(SELECT NULL, NULL, xid, keys, whole FROM /*schema*/pgcoherence.event WHERE topic = $1 ORDER BY xid DESC LIMIT $2)
