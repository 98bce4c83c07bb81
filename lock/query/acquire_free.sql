-- The common case of acquire.sql by itself, at a third of its price: a key that is known, free, and has no queue, on the
-- server that the process has found the incarnation to describe before. No row: ask acquire.sql, which knows all cases. So
-- it may be short: the row is found once, locked as a change of token needs it, and changed where it lies. If it was changed
-- by somebody else between the snapshot and the lock, it lies elsewhere, where the snapshot sees nothing: no row.
-- $1 key, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null, $6 start of the server, $7 database, $8 table.
UPDATE /*schema*/pgcoherence.lease
SET token = nextval('/*schema*/pgcoherence.lease_token'), grant_id = $2::text::uuid, owner = $3::text, meta = $5::text::jsonb,
    since = clock_timestamp(), expires_at = clock_timestamp() + $4::bigint * interval '1 ms', next_until = NULL,
    rev = rev + (random() < 0.015625)::integer
WHERE ctid = (
    SELECT f.ctid FROM /*schema*/pgcoherence.lease AS f
    WHERE f.key || '' = $1::text AND f.expires_at <= clock_timestamp() AND NOT f.queued AND f.next_id IS NULL
      AND f.tableoid = $8::oid AND pg_postmaster_start_time() = $6::timestamptz AND current_database() = $7::text
      AND f.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = $1::text ORDER BY m.rev DESC LIMIT 1)
    FOR UPDATE SKIP LOCKED
)
RETURNING token
