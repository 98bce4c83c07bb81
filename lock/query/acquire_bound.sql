-- acquire_free.sql for a process whose leases end with its session: the lease is bound to it from its first moment.
-- $1 to $8 as there, $9 session, negative for the time without one, and $10 ms of grace.
UPDATE /*schema*/pgcoherence.lease
SET token = nextval('/*schema*/pgcoherence.lease_token'), grant_id = $2::text::uuid, owner = $3::text, meta = $5::text::jsonb,
    since = clock_timestamp(), expires_at = clock_timestamp() + $4::bigint * interval '1 ms', next_until = NULL,
    session_grant = $2::text::uuid, session = $9::bigint, grace = $10::bigint * interval '1 ms', gone_at = NULL,
    rev = rev + (random() < 0.015625)::integer
WHERE ctid = (
    SELECT f.ctid FROM /*schema*/pgcoherence.lease AS f
    WHERE f.key || '' = $1::text AND f.expires_at <= clock_timestamp() AND NOT f.queued AND f.next_id IS NULL
      AND f.tableoid = $8::oid AND pg_postmaster_start_time() = $6::timestamptz AND current_database() = $7::text
      AND f.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = $1::text ORDER BY m.rev DESC LIMIT 1)
    FOR UPDATE SKIP LOCKED
)
RETURNING token
