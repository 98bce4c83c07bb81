-- renew.sql for shares: the group lasts as long as the longest of them, in the same statement. A group whose row was changed
-- between the snapshot and the lock lies elsewhere, and its shares are renewed the next time.
-- $1 keys, $2 tokens, $3 TTLs in ms, $4 session and $5 ms of grace, as there.
WITH mine AS MATERIALIZED (
    SELECT l.ctid AS lease, s.ctid AS place, clock_timestamp() + w.ttl * interval '1 ms' AS until
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w (key, token, ttl)
         JOIN /*schema*/pgcoherence.lease AS l ON l.key = w.key AND l.group_token = l.token
         JOIN /*schema*/pgcoherence.lease_share AS s ON s.key = w.key AND s.token = w.token
    WHERE l.expires_at > clock_timestamp() AND s.token > l.token AND s.expires_at > clock_timestamp()
          AND ($4::bigint IS NULL OR s.session IS NULL OR abs(s.session) <= abs($4::bigint))
    FOR NO KEY UPDATE OF l, s SKIP LOCKED
), groups AS (
    UPDATE /*schema*/pgcoherence.lease AS l
    SET expires_at = greatest(l.expires_at, g.until), session_grant = CASE WHEN $4::bigint IS NULL THEN l.session_grant ELSE l.grant_id END
    FROM (SELECT mine.lease, max(mine.until) AS until, array_agg(mine.place) AS places, array_agg(mine.until) AS untils
          FROM mine GROUP BY mine.lease) AS g
    WHERE l.ctid = g.lease
    RETURNING g.places, g.untils
), renewed AS MATERIALIZED (
    SELECT unnest(groups.places) AS place, unnest(groups.untils) AS until FROM groups
)
UPDATE /*schema*/pgcoherence.lease_share AS s
SET expires_at = renewed.until, session = $4::bigint, grace = $5::bigint * interval '1 ms',
    gone_at = CASE WHEN s.session = $4::bigint THEN s.gone_at END
FROM renewed
WHERE s.ctid = renewed.place
RETURNING s.token
