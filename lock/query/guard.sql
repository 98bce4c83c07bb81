-- In the caller's own transaction. The row lock excludes: until that transaction ends nobody can change the token. The
-- clock only refuses. The grant's id and the database's name tell a copy of the row in another database apart.
-- $1 key, $2 token, $3 grant id, $4 database.
SELECT 1
FROM /*schema*/pgcoherence.lease
WHERE key || '' = $1::text AND token = $2::bigint AND grant_id = $3::text::uuid AND expires_at > clock_timestamp()
  AND current_database() = $4::text
  AND rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = $1::text ORDER BY m.rev DESC LIMIT 1)
FOR KEY SHARE
