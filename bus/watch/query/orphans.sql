-- Trigger functions of ours that no trigger calls any more, as after DROP TABLE.
SELECT f.proname::text FROM pg_proc AS f
WHERE f.prosrc LIKE '-- pgcoherence watch %' AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = f.oid)
  AND f.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = '/*schema*/pgcoherence.event'::regclass)
