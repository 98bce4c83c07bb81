-- Rows that could be over for an hour, the longest due first. They stay locked until each has been deleted, or left to
-- its deadline and to the walk.
SELECT s.key,
    CASE WHEN s.revoked_at < now.at - interval '1 hour' THEN 'revoked'
        WHEN s.expires_at < now.at - interval '1 hour' THEN 'expired'
        WHEN s.revoked_at IS NULL AND s.last_seen + s.idle < now.at - interval '1 hour' THEN 'idle' ELSE '' END
FROM /*schema*/pgcoherence.session AS s CROSS JOIN (SELECT clock_timestamp() AS at) AS now
WHERE s.sweep_at < (SELECT clock_timestamp())
ORDER BY s.sweep_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED
