-- The first half of taking a lease away: it ends for its owner, and for some time nobody but the thief can take it. Does
-- not wait for transactions that are guarded by it; the second half, acquire.sql, does.
-- $1 key, $2 thief's grant id, $3 ms that the thief has to claim. Returns the owner's token, if it was held still.
WITH before AS MATERIALIZED (
    SELECT key, rev, token, expires_at > clock_timestamp() AND grant_id <> $2::text::uuid AS held
    FROM /*schema*/pgcoherence.lease
    WHERE key || '' = $1::text
      AND rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = $1::text ORDER BY m.rev DESC LIMIT 1)
    FOR NO KEY UPDATE
)
UPDATE /*schema*/pgcoherence.lease AS l
SET expires_at = CASE WHEN l.grant_id = $2::text::uuid THEN l.expires_at ELSE '-infinity' END,
    next_id = $2::text::uuid, next_until = clock_timestamp() + $3::bigint * interval '1 ms'
FROM before
WHERE l.key || '' = $1::text AND l.rev >= before.rev
RETURNING CASE WHEN before.held THEN l.token END
