-- The common case of acquire.sql for a waiter: the lease was handed to it. No row: ask acquire.sql. It waits for those who
-- change the row without touching the token, above all for others that enter the queue: they take no time. It does not
-- wait for guarded transactions, which may. The two locks are two strengths of one: the first lets guards be.
-- $1 key, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null, $6 start of the server, $7 database, $8 table.
WITH handed AS MATERIALIZED (
    SELECT key FROM /*schema*/pgcoherence.lease
    WHERE key = $1::text AND next_id = $2::text::uuid AND expires_at <= clock_timestamp()
      AND tableoid = $8::oid AND pg_postmaster_start_time() = $6::timestamptz AND current_database() = $7::text
    FOR NO KEY UPDATE
), free AS MATERIALIZED (
    SELECT l.key FROM handed JOIN /*schema*/pgcoherence.lease AS l ON l.key = handed.key
    FOR UPDATE OF l SKIP LOCKED
), gone AS (
    DELETE FROM /*schema*/pgcoherence.lease_waiter WHERE id = $2::text::uuid AND EXISTS (SELECT FROM free)
)
UPDATE /*schema*/pgcoherence.lease AS l
SET token = nextval('/*schema*/pgcoherence.lease_token'), grant_id = $2::text::uuid, owner = $3::text, meta = $5::text::jsonb,
    since = clock_timestamp(), expires_at = clock_timestamp() + $4::bigint * interval '1 ms',
    queued = l.queued AND /*schema*/pgcoherence.is_queued(l.key, $2::text::uuid), next_id = NULL, next_until = NULL
FROM free
WHERE l.key = free.key
RETURNING l.token
