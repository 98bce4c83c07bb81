UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = $3, revoked_by = nullif($4::text, ''), sweep_at = clock_timestamp() + interval '1 hour',
    data = '', wrapped = NULL, prev_wrapped = NULL, next_salt = NULL, version = s.version + 1
WHERE s.issuer = $1 AND s.sid = $2 AND s.revoked_at IS NULL
RETURNING s.id::text, s.key, s.prev_key, coalesce(s.user_id, '')
