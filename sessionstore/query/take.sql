-- The row lock makes one of all takers the only one.
DELETE FROM /*schema*/pgcoherence.one_time WHERE hash = $1
RETURNING binding, data, expires_at > clock_timestamp()
