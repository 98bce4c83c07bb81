-- acquire_free.sql for several grants at once, each by itself: what is not free, or has a queue, or is locked is left out.
-- Where a key is asked for twice one of them gets it. $1 keys, $2 grant ids, $3 owner, $4 TTLs in ms, $5 metadata or nulls,
-- $6 start of the server, $7 database, $8 table, $9 session that the leases end with and $10 ms of grace, as in renew.sql.
WITH free AS MATERIALIZED (
    SELECT f.ctid AS place, w.id, w.ttl, w.meta
    FROM unnest($1::text[], $2::text[], $4::bigint[], $5::text[]) AS w (key, id, ttl, meta)
         CROSS JOIN LATERAL (
             SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = w.key ORDER BY m.rev DESC LIMIT 1
         ) AS newest
         JOIN /*schema*/pgcoherence.lease AS f ON f.key || '' = w.key AND f.rev >= newest.rev
    WHERE f.expires_at <= clock_timestamp() AND NOT f.queued AND f.next_id IS NULL
      AND f.tableoid = $8::oid AND pg_postmaster_start_time() = $6::timestamptz AND current_database() = $7::text
    FOR UPDATE OF f SKIP LOCKED
)
UPDATE /*schema*/pgcoherence.lease AS l
SET token = nextval('/*schema*/pgcoherence.lease_token'), grant_id = free.id::uuid, owner = $3::text, meta = free.meta::jsonb,
    since = clock_timestamp(), expires_at = clock_timestamp() + free.ttl * interval '1 ms', next_until = NULL,
    session_grant = CASE WHEN $9::bigint IS NOT NULL THEN free.id::uuid END, session = $9::bigint, grace = $10::bigint * interval '1 ms',
    gone_at = NULL, rev = l.rev + (random() < 0.015625)::integer
FROM free
WHERE l.ctid = free.place
RETURNING l.grant_id, l.token
