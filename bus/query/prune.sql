-- Deletes a batch of what the snapshot $1 covers, and says so to everybody in the same transaction: who is not past
-- pruned_to resets. pruned_to only moves forward, in the order of stamps: another sweeper may have been here.
-- $2 epoch, $3 batch size, $4 xmax of the snapshot, $5 transactions in progress in it.
WITH claimed AS (
    UPDATE /*schema*/pgcoherence.epoch SET pruned_to = $1::text::pg_snapshot
    WHERE id::text = split_part($2, '/', 1)
      AND (pruned_to IS NULL OR pg_snapshot_xmax(pruned_to) < $4::text::xid8
           OR pg_snapshot_xmax(pruned_to) = $4::text::xid8
              AND (SELECT count(*) FROM pg_snapshot_xip(pruned_to)) >= cardinality($5::text[]))
    RETURNING one
), batch AS (
    SELECT ctid FROM /*schema*/pgcoherence.event
    WHERE EXISTS (SELECT FROM claimed) AND xid < $4::text::xid8 AND xid <> ALL ($5::text[]::xid8[])
    ORDER BY xid LIMIT $3
)
DELETE FROM /*schema*/pgcoherence.event WHERE ctid = ANY (array(SELECT ctid FROM batch))
