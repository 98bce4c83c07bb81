-- The common case of acquire.sql by itself, at half its price: a key that is known, free, and has no queue. No row: ask
-- acquire.sql, which knows all cases. $1 key, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null.
WITH free AS MATERIALIZED (
    SELECT key FROM /*schema*/pgcoherence.lease
    WHERE key = $1::text AND expires_at <= clock_timestamp() AND NOT queued AND next_id IS NULL
    FOR UPDATE SKIP LOCKED
)
UPDATE /*schema*/pgcoherence.lease AS l
SET token = i.n::bigint << 48 | nextval('/*schema*/pgcoherence.lease_token'), grant_id = $2::text::uuid, owner = $3::text,
    meta = $5::text::jsonb, since = clock_timestamp(), expires_at = clock_timestamp() + $4::bigint * interval '1 ms', next_until = NULL
FROM free, /*schema*/pgcoherence.incarnation AS i
WHERE l.key = free.key AND i.server = pg_postmaster_start_time() AND i.database = current_database()
  AND i.relation = '/*schema*/pgcoherence.lease'::regclass
RETURNING l.token, i.database
