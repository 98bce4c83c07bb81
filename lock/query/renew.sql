-- The heartbeat: renews leases of a process. A row that somebody has locked is left out, so that one key delays no other,
-- and so is one that is no longer ours; held.sql tells them apart. A lease that has expired here is not brought back. Guards
-- (FOR KEY SHARE) do not get in the way of FOR NO KEY UPDATE. The rows are changed where they lie, and no two lists are
-- joined: what it costs grows with the number of leases and not with its square, whatever plan is kept. One that was changed
-- between the snapshot and the lock lies elsewhere, and is renewed the next time.
-- $1 keys, $2 tokens, $3 TTLs in ms.
WITH mine AS MATERIALIZED (
    SELECT l.ctid AS place, w.ttl
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w (key, token, ttl)
         JOIN /*schema*/pgcoherence.lease AS l ON l.key = w.key AND l.token = w.token
    WHERE l.expires_at > clock_timestamp()
    FOR NO KEY UPDATE OF l SKIP LOCKED
)
UPDATE /*schema*/pgcoherence.lease AS l SET expires_at = clock_timestamp() + mine.ttl * interval '1 ms'
FROM mine
WHERE l.ctid = mine.place
RETURNING l.token
