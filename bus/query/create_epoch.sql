-- Whoever finds no epoch makes one; the second to try changes nothing.
INSERT INTO /*schema*/pgcoherence.epoch (prepared)
SELECT coalesce(array_agg(transaction), '{}') FROM pg_prepared_xact()
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ON CONFLICT (one) DO NOTHING
