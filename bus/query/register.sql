-- $1 id, $2 name, $3 info. The position starts at nothing: a pod that comes back has to earn it again.
INSERT INTO /*schema*/pgcoherence.pod (id, name, info) VALUES ($1::text::uuid, $2, $3::text::jsonb)
ON CONFLICT (id) DO UPDATE SET beat = pod.beat + 1, beat_at = clock_timestamp(), epoch = '', pos_xmax = '0', pos_n = 0
