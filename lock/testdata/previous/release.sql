-- Ends a lease, at once or when its minimum hold has passed, and hands it to the first live waiter if there may be one.
-- The token does not change, so this does not wait for transactions that are guarded by the lease; whoever comes next
-- does. It does not wait for the disk either: the next grant does, and flushes this with it; if the server crashes before
-- that, the lease lasts until its TTL is over. next_waiter is called while the row is being changed, and once more if the
-- row turns out to have been changed meanwhile.
-- Whom it hands the lease to is told as it commits. $1 key, $2 token, $3 minimum hold in ms, $4 ms that a waiter counts as
-- alive, $5 ms that the next one has to claim, $6 channel of hints or null, $7 what a hint begins with.
UPDATE /*schema*/pgcoherence.lease AS l
SET expires_at = CASE WHEN l.since + $3::bigint * interval '1 ms' > clock_timestamp() THEN l.since + $3::bigint * interval '1 ms'
                      ELSE '-infinity' END,
    next_id = CASE WHEN l.queued AND l.since + $3::bigint * interval '1 ms' <= clock_timestamp()
                   THEN /*schema*/pgcoherence.next_waiter(l.key, $4::bigint * interval '1 ms', NULL) END,
    next_until = CASE WHEN l.queued THEN clock_timestamp() + $5::bigint * interval '1 ms' END
WHERE l.key = $1::text AND l.token = $2::bigint AND l.expires_at > '-infinity'
RETURNING l.next_id::text, set_config('synchronous_commit', 'off', true),
          CASE WHEN l.next_id IS NOT NULL AND $6::text IS NOT NULL THEN pg_notify($6::text, $7::text || l.next_id)::text END
