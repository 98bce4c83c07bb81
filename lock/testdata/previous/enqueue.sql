-- Enters a lease's queue, under the row's lock and with a change to the row: a release either comes before and is seen
-- here, or comes after and sees the waiter. Answers whether the lease is there for the taking by now, and else for how
-- long it runs or is kept for another; no row if there is no such lease. Places are given in the order of the row's lock,
-- which is held for a moment only: this does not wait for the disk. Who is in no queue after a crash enters it anew.
-- $1 key, $2 waiter's id, $3 owner.
WITH marked AS (
    UPDATE /*schema*/pgcoherence.lease SET queued = true WHERE key = $1::text
    RETURNING key, greatest(CASE WHEN isfinite(expires_at) THEN expires_at END, CASE WHEN next_id IS NOT NULL THEN next_until END) AS taken_until
)
INSERT INTO /*schema*/pgcoherence.lease_waiter (id, key, owner)
SELECT $2::text::uuid, key, $3::text FROM marked
ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
RETURNING (SELECT coalesce(taken_until <= clock_timestamp(), true) FROM marked),
          (SELECT coalesce(greatest(0, extract(epoch FROM taken_until - clock_timestamp()) * 1000), 0)::bigint FROM marked),
          set_config('synchronous_commit', 'off', true)
