-- Writes what kept.sql reads. $1 epoch, $2 snapshots, $3 ages in milliseconds.
UPDATE /*schema*/pgcoherence.epoch SET kept = $2::text[]::pg_snapshot[], kept_ms = $3 WHERE id::text = split_part($1, '/', 1)
