-- Deletes from a page of shares, in the order of ids, those that have been over for long: of owners that died. One that guards
-- a transaction stays. $1 only ids after this one, $2 rows of a page, $3 over for that many ms. Returns the last id of the
-- page, null if there was none.
WITH page AS MATERIALIZED (
    SELECT s.ctid, s.grant_id, s.expires_at < clock_timestamp() - $3::bigint * interval '1 ms' AS over
    FROM /*schema*/pgcoherence.lease_share AS s
    WHERE s.grant_id > $1::text::uuid
    ORDER BY s.grant_id
    LIMIT $2::bigint
), over AS MATERIALIZED (
    SELECT s.ctid
    FROM /*schema*/pgcoherence.lease_share AS s
    WHERE s.ctid = ANY (ARRAY(SELECT page.ctid FROM page WHERE page.over)) AND s.expires_at < clock_timestamp() - $3::bigint * interval '1 ms'
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM /*schema*/pgcoherence.lease_share AS s WHERE s.ctid = ANY (ARRAY(SELECT over.ctid FROM over))
)
SELECT (SELECT page.grant_id FROM page ORDER BY page.grant_id DESC LIMIT 1)::text
