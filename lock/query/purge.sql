-- Deletes from a page of rows, in the order of keys, those nobody needs: leases that have been free for long, whom nobody
-- waits for. Who enters a queue sets queued, so that row is not deleted. A guarded or contested row is left for another time.
-- A page costs the same whatever is in it, and so does a table of any size, page by page. Only one process at a time does
-- this. $1 only keys after this one, $2 rows of a page, $3 free for that many ms. Returns the last key of the page, null if
-- there was none, and how many were deleted; no row if another process is at it.
WITH alone AS MATERIALIZED (
    SELECT WHERE pg_try_advisory_xact_lock(hashtext('pgcoherence lock purge'), '/*schema*/pgcoherence.lease'::regclass::integer)
), page AS MATERIALIZED (
    SELECT l.ctid, l.key, NOT l.queued AND greatest(l.expires_at, l.since) < clock_timestamp() - $3::bigint * interval '1 ms'
                          AND l.expires_at < clock_timestamp() AS old
    FROM alone, LATERAL (
        SELECT r.ctid, r.* FROM /*schema*/pgcoherence.lease AS r WHERE r.key > $1::text COLLATE "C" ORDER BY r.key LIMIT $2::bigint
    ) AS l
), old AS MATERIALIZED ( -- by where they lie: nothing makes a plan for that read the table
    SELECT l.ctid
    FROM /*schema*/pgcoherence.lease AS l
    WHERE l.ctid = ANY (ARRAY(SELECT page.ctid FROM page WHERE page.old))
      AND NOT l.queued AND greatest(l.expires_at, l.since) < clock_timestamp() - $3::bigint * interval '1 ms' AND l.expires_at < clock_timestamp()
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM /*schema*/pgcoherence.lease AS l WHERE l.ctid = ANY (ARRAY(SELECT old.ctid FROM old))
    RETURNING 1
)
SELECT (SELECT max(page.key) FROM page), (SELECT count(*) FROM gone)
FROM alone
