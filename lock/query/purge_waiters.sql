-- Deletes waiters that have been dead for long. One that somebody has locked is being dealt with.
-- $1 silent for that many ms.
WITH dead AS MATERIALIZED (
    SELECT id FROM /*schema*/pgcoherence.lease_waiter
    WHERE seen_at < clock_timestamp() - $1::bigint * interval '1 ms'
    FOR UPDATE SKIP LOCKED
)
DELETE FROM /*schema*/pgcoherence.lease_waiter AS w USING dead WHERE w.id = dead.id
