-- No login takes a day.
DELETE FROM /*schema*/pgcoherence.session_logout WHERE (issuer, sid) IN (
    SELECT l.issuer, l.sid FROM /*schema*/pgcoherence.session_logout AS l
    WHERE l.ended_at < (SELECT clock_timestamp() - interval '1 day')
    ORDER BY l.ended_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
