-- Deletes a batch of rows nobody needs: leases that have been free for long, whom nobody waits for. Who enters a queue
-- sets queued, so his row is not deleted under him. A guarded or contested row is left for another time.
-- $1 free for that many ms, $2 batch.
WITH old AS MATERIALIZED (
    SELECT key FROM /*schema*/pgcoherence.lease
    WHERE NOT queued AND greatest(expires_at, since) < clock_timestamp() - $1::bigint * interval '1 ms' AND expires_at < clock_timestamp()
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM /*schema*/pgcoherence.lease AS l USING old WHERE l.key = old.key
