INSERT INTO /*schema*/pgcoherence.one_time (hash, binding, data, expires_at)
VALUES ($1, $2, $3, clock_timestamp() + $4::bigint * interval '1 microsecond')
