DELETE FROM /*schema*/pgcoherence.one_time WHERE hash IN (
    SELECT o.hash FROM /*schema*/pgcoherence.one_time AS o
    WHERE o.expires_at < (SELECT clock_timestamp() - interval '1 minute')
    ORDER BY o.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
