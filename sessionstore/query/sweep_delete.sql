DELETE FROM /*schema*/pgcoherence.session WHERE key = ANY ($1::bytea[])
