SELECT id::text, beat FROM /*schema*/pgcoherence.pod
