-- $1 id, $2 name, $3 info, $4 for how long caches are trusted and $5 the pod lease in use, in milliseconds. The position
-- starts at nothing: a pod that comes back has to earn it again. It returns how many other pods there are.
INSERT INTO /*schema*/pgcoherence.pod AS p (id, name, info, trusts_ms, lease_ms)
VALUES ($1::text::uuid, $2, $3::text::jsonb, $4, $5)
ON CONFLICT (id) DO UPDATE SET beat = p.beat % 4611686018427387904 + 1, beat_at = clock_timestamp(), epoch = '',
    pos_xmax = '0', pos_n = 0, watched_ms = 0, trusts_ms = excluded.trusts_ms, lease_ms = excluded.lease_ms
RETURNING (SELECT count(*) FROM /*schema*/pgcoherence.pod AS other WHERE other.id <> p.id)
