-- The common case of release.sql by itself: nobody waits, and there is no minimum hold. No row: ask release.sql. Does not
-- wait for the disk, for the same reason. $1 key, $2 token.
UPDATE /*schema*/pgcoherence.lease SET expires_at = '-infinity'
WHERE key || '' = $1::text AND token = $2::bigint AND expires_at > '-infinity' AND NOT queued
  AND rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = $1::text ORDER BY m.rev DESC LIMIT 1)
RETURNING set_config('synchronous_commit', 'off', true)
