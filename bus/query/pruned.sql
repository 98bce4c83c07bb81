-- Notes that everything is deleted that the snapshot $1 covers, but for what it does not see. $2 epoch, $3 its xmax.
UPDATE /*schema*/pgcoherence.epoch SET pruned = $1::text::pg_snapshot
WHERE id::text = split_part($2, '/', 1) AND (pruned IS NULL OR pg_snapshot_xmax(pruned) < $3::text::xid8)
