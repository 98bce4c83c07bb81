-- What a login with this sid that is still under way will find.
INSERT INTO /*schema*/pgcoherence.session_logout (issuer, sid) VALUES ($1, $2)
ON CONFLICT (issuer, sid) DO UPDATE SET ended_at = clock_timestamp()
