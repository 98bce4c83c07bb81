-- Corrects the flag of keys of a page whose waiters have all died. Under the row's lock is_queued sees everybody who came
-- before; who comes after sets it again. $1 only keys after this one, $2 rows of a page, $3 free for that many ms.
WITH page AS MATERIALIZED (
    SELECT l.ctid, l.queued FROM /*schema*/pgcoherence.lease AS l WHERE l.key > $1::text COLLATE "C" ORDER BY l.key LIMIT $2::bigint
), old AS MATERIALIZED (
    SELECT l.ctid
    FROM /*schema*/pgcoherence.lease AS l
    WHERE l.ctid = ANY (ARRAY(SELECT page.ctid FROM page WHERE page.queued))
      AND l.queued AND greatest(l.expires_at, l.since) < clock_timestamp() - $3::bigint * interval '1 ms' AND l.expires_at < clock_timestamp()
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE /*schema*/pgcoherence.lease AS l SET queued = /*schema*/pgcoherence.is_queued(l.key, NULL)
WHERE l.ctid = ANY (ARRAY(SELECT old.ctid FROM old))
