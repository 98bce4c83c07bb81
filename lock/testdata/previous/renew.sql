-- The heartbeat: renews all leases of a process in one statement. A row that somebody has locked is left out, so that
-- one key delays no other; it is told apart from a lease that is no longer ours by its state. A lease that has expired
-- here is not brought back. Guards (FOR KEY SHARE) do not get in the way of FOR NO KEY UPDATE.
-- $1 keys, $2 tokens, $3 TTLs in ms. Answers one row for each: renewed, still ours, expired before anybody took it.
WITH want AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w (key, token, ttl)
), mine AS MATERIALIZED (
    SELECT l.key, want.ttl
    FROM want JOIN /*schema*/pgcoherence.lease AS l ON l.key = want.key AND l.token = want.token
    WHERE l.expires_at > clock_timestamp()
    ORDER BY l.key
    FOR NO KEY UPDATE OF l SKIP LOCKED
), renewed AS (
    UPDATE /*schema*/pgcoherence.lease AS l SET expires_at = clock_timestamp() + mine.ttl * interval '1 ms'
    FROM mine
    WHERE l.key = mine.key
    RETURNING l.key
)
SELECT want.key, want.token, renewed.key IS NOT NULL AS renewed,
       coalesce(l.token = want.token AND l.expires_at > clock_timestamp(), false) AS ours,
       coalesce(l.token = want.token AND isfinite(l.expires_at), false) AS expired
FROM want
     LEFT JOIN /*schema*/pgcoherence.lease AS l ON l.key = want.key
     LEFT JOIN renewed ON renewed.key = want.key
