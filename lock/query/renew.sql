-- The heartbeat: renews leases of a process. A row that somebody has locked is left out, so that one key delays no other,
-- and so is one that is no longer ours; held.sql tells them apart. A lease that has expired here is not brought back. Guards
-- (FOR KEY SHARE) do not get in the way of FOR NO KEY UPDATE. The rows are changed where they lie, and no two lists are
-- joined: what it costs grows with the number of leases and not with its square, whatever plan is kept. One that was changed
-- between the snapshot and the lock lies elsewhere, and is renewed the next time.
-- $1 keys, $2 tokens, $3 TTLs in ms, $4 session that they end with, negative for none after that one, null for none ever; a
-- row that names a later one stays, because this statement is late. $5 ms of grace after the session's end.
WITH mine AS MATERIALIZED (
    SELECT l.ctid AS place, w.ttl
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w (key, token, ttl)
         JOIN /*schema*/pgcoherence.lease AS l ON l.key = w.key AND l.token = w.token
    WHERE l.expires_at > clock_timestamp()
          AND ($4::bigint IS NULL OR l.session_grant IS DISTINCT FROM l.grant_id OR abs(l.session) <= abs($4::bigint))
    FOR NO KEY UPDATE OF l SKIP LOCKED
)
UPDATE /*schema*/pgcoherence.lease AS l
SET expires_at = clock_timestamp() + mine.ttl * interval '1 ms', session = $4::bigint, grace = $5::bigint * interval '1 ms',
    session_grant = CASE WHEN $4::bigint IS NOT NULL THEN l.grant_id END,
    gone_at = CASE WHEN l.session_grant = l.grant_id AND l.session = $4::bigint THEN l.gone_at END
FROM mine
WHERE l.ctid = mine.place
RETURNING l.token
