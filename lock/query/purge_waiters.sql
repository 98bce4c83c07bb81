-- Deletes waiters that have been dead for long. $1 silent for that many ms.
DELETE FROM /*schema*/pgcoherence.lease_waiter WHERE seen_at < clock_timestamp() - $1::bigint * interval '1 ms'
