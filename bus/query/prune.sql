-- Deletes a batch of what the snapshot $1 covers, and says so to everybody in the same transaction: who is not past
-- pruned_to resets. pruned_to only moves forward, in the order of stamps: another sweeper may have been here. It returns
-- whether that was so, how many events are deleted, and the largest of their transactions.
-- It begins where the last prune ended and goes on from batch to batch, and so never reads again what is deleted: under an
-- old snapshot the dead rows stay, and every one of them would be visited.
-- $2 epoch, $3 batch size, $4 xmax of the snapshot, $5 transactions in progress in it, $6 xmax of the snapshot up to which
-- everything is deleted, $7 transactions in progress in that one, $8 the largest transaction of the last batch.
WITH claimed AS (
    UPDATE /*schema*/pgcoherence.epoch SET pruned_to = $1::text::pg_snapshot
    WHERE id::text = split_part($2, '/', 1)
      AND (pruned_to IS NULL OR pg_snapshot_xmax(pruned_to) < $4::text::xid8
           OR pg_snapshot_xmax(pruned_to) = $4::text::xid8
              AND (SELECT count(*) FROM pg_snapshot_xip(pruned_to)) >= cardinality($5::text[]))
    RETURNING one
), batch AS (
    (SELECT ctid FROM /*schema*/pgcoherence.event
     WHERE EXISTS (SELECT FROM claimed) AND xid >= $6::text::xid8 AND xid >= $8::text::xid8 AND xid < $4::text::xid8
       AND xid <> ALL ($5::text[]::xid8[])
     ORDER BY xid LIMIT $3)
    UNION ALL
    (SELECT ctid FROM /*schema*/pgcoherence.event
     WHERE EXISTS (SELECT FROM claimed) AND xid = ANY ($7::text[]::xid8[]) AND xid < $6::text::xid8
       AND xid <> ALL ($5::text[]::xid8[])
     LIMIT $3)
), deleted AS (
    DELETE FROM /*schema*/pgcoherence.event WHERE ctid = ANY (array(SELECT ctid FROM batch)) RETURNING xid
)
SELECT (SELECT count(*) FROM claimed), (SELECT count(*) FROM deleted), (SELECT xid::text FROM deleted ORDER BY xid DESC LIMIT 1)
