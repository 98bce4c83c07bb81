SELECT id::text, name, started, beat, clock_timestamp() - beat_at AS age, epoch, pos_xmax::text, pos_n, info
FROM /*schema*/pgcoherence.pod ORDER BY name, id
