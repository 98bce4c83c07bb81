-- The snapshots that a prune can go up to, how old each is at least, and the one up to which everything is deleted. $1 epoch.
SELECT kept::text[], kept_ms, pruned::text FROM /*schema*/pgcoherence.epoch WHERE id::text = split_part($1, '/', 1)
