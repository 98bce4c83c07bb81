-- guard.sql for a share: no reader's guard lets another have the lease alone, and no holder's guard another have its place.
-- $1 key, $2 token, $3 grant id, $4 database.
SELECT 1
FROM /*schema*/pgcoherence.lease AS l
     JOIN /*schema*/pgcoherence.lease_share AS s ON s.key = $1::text AND s.token = $2::bigint AND s.grant_id = $3::text::uuid AND s.token > l.token
WHERE l.key || '' = $1::text AND l.group_token = l.token AND l.expires_at > clock_timestamp() AND s.expires_at > clock_timestamp()
  AND current_database() = $4::text
  AND l.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = $1::text ORDER BY m.rev DESC LIMIT 1)
FOR KEY SHARE
