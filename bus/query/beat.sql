-- The beat: $1 id, $2 epoch, $3 and $4 position, $5 info. No row: the pod was taken for dead and registers anew. The
-- snapshot is this statement's own, taken after the beat was sent; the registration it builds on was committed before.
-- How full the notification queue is comes along: asking costs microseconds, and no round trip of its own.
UPDATE /*schema*/pgcoherence.pod
SET beat = beat + 1, beat_at = clock_timestamp(), epoch = $2, pos_xmax = $3::text::xid8, pos_n = $4, info = $5::text::jsonb
WHERE id = $1::text::uuid
RETURNING pg_current_snapshot()::text, /*schema*/pgcoherence.identity(), (SELECT count(*) FROM /*schema*/pgcoherence.pod),
          clock_timestamp(), pg_notification_queue_usage()
