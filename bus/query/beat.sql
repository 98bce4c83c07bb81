-- The beat: $1 id, $2 epoch, $3 and $4 position, $5 info, $6 for how long the epoch is watched, $7 for how long caches are
-- trusted and $8 the pod lease in use, all in milliseconds, $9 where the row was left by the last beat, null if that is not
-- known. No row: it has been moved, or the pod was taken for dead and registers again. The snapshot is this statement's
-- own, taken after the beat was sent; the registration it builds on was committed before.
-- By its place the row is found at once. By its id, all its dead versions are visited: one for each second of an old
-- snapshot, as of a dump. For the same reason nothing here reads other rows of the table.
-- How full the notification queue is comes along: asking costs microseconds, and no round trip of its own.
UPDATE /*schema*/pgcoherence.pod
SET beat = beat % 4611686018427387904 + 1, beat_at = clock_timestamp(), epoch = $2, pos_xmax = $3::text::xid8, pos_n = $4,
    info = $5::text::jsonb, watched_ms = $6, trusts_ms = $7, lease_ms = $8
WHERE id = $1::text::uuid
  AND ctid = coalesce($9::text::tid, (SELECT own.ctid FROM /*schema*/pgcoherence.pod AS own WHERE own.id = $1::text::uuid))
RETURNING pg_current_snapshot()::text, /*schema*/pgcoherence.identity(), ctid::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
          pg_notification_queue_usage(),
          (SELECT ceil(1000 * extract(epoch FROM least(pod_lease, interval '1 hour')))::bigint FROM /*schema*/pgcoherence.setting),
          /*schema*/pgcoherence.pod_lease_ms()
