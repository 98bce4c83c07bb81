-- release_free.sql for several leases. A row that somebody has locked is left out: release.sql waits for it, without
-- holding up the others. $1 keys, $2 their tokens.
UPDATE /*schema*/pgcoherence.lease SET expires_at = '-infinity'
WHERE ctid = ANY (ARRAY(
    SELECT l.ctid
    FROM unnest($1::text[], $2::bigint[]) AS r (key, token)
         CROSS JOIN LATERAL (
             SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = r.key ORDER BY m.rev DESC LIMIT 1
         ) AS newest
         JOIN /*schema*/pgcoherence.lease AS l ON l.key || '' = r.key AND l.rev >= newest.rev AND l.token = r.token
    WHERE l.expires_at > '-infinity' AND NOT l.queued
    FOR NO KEY UPDATE OF l SKIP LOCKED
))
RETURNING token, set_config('synchronous_commit', 'off', true)
