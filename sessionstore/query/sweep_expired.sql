-- An hour after the deadline nothing that a pod or a browser still holds can be valid.
DELETE FROM /*schema*/pgcoherence.session WHERE key IN (
    SELECT s.key FROM /*schema*/pgcoherence.session AS s
    WHERE s.expires_at < (SELECT clock_timestamp() - interval '1 hour')
    ORDER BY s.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
