-- What was taken once, for as long as it might be shown again. Somebody who was faster has remembered it as well.
INSERT INTO /*schema*/pgcoherence.one_time (hash, binding, data, expires_at)
VALUES ($1, NULL, '', clock_timestamp() + $2::bigint * interval '1 microsecond')
ON CONFLICT (hash) DO UPDATE SET expires_at = greatest(one_time.expires_at, excluded.expires_at)
