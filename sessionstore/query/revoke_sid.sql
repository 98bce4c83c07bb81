UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = $3, data = '', wrapped = NULL, prev_wrapped = NULL, version = s.version + 1
WHERE s.issuer = $1 AND s.sid = $2 AND s.revoked_at IS NULL
RETURNING s.id::text, s.key, s.prev_key
