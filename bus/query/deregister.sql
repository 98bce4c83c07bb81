DELETE FROM /*schema*/pgcoherence.pod WHERE id = $1::text::uuid
