-- Deletes from a page of waiters, in the order of ids, those that have been dead for long. One that somebody has locked is
-- being dealt with. $1 only ids after this one, $2 rows of a page, $3 silent for that many ms. Returns the last id of the page,
-- null if there was none.
WITH page AS MATERIALIZED (
    SELECT w.ctid, w.id, w.seen_at < clock_timestamp() - $3::bigint * interval '1 ms' AS dead
    FROM /*schema*/pgcoherence.lease_waiter AS w
    WHERE w.id > $1::text::uuid
    ORDER BY w.id
    LIMIT $2::bigint
), dead AS MATERIALIZED (
    SELECT w.ctid
    FROM /*schema*/pgcoherence.lease_waiter AS w
    WHERE w.ctid = ANY (ARRAY(SELECT page.ctid FROM page WHERE page.dead)) AND w.seen_at < clock_timestamp() - $3::bigint * interval '1 ms'
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.ctid = ANY (ARRAY(SELECT dead.ctid FROM dead))
)
SELECT (SELECT page.id FROM page ORDER BY page.id DESC LIMIT 1)::text
