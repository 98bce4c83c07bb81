-- Corrects the flag of keys that have been free for long and whose waiters have all died. Under the row's lock
-- is_queued sees everybody who came before; who comes after sets it again. $1 free for that many ms, $2 batch.
WITH old AS MATERIALIZED (
    SELECT key FROM /*schema*/pgcoherence.lease
    WHERE queued AND greatest(expires_at, since) < clock_timestamp() - $1::bigint * interval '1 ms' AND expires_at < clock_timestamp()
    LIMIT $2::bigint
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE /*schema*/pgcoherence.lease AS l SET queued = /*schema*/pgcoherence.is_queued(l.key, NULL) FROM old WHERE l.key = old.key
