-- Sessions of nobody have no generation.
UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = $1, revoked_by = nullif($2::text, ''), sweep_at = clock_timestamp() + interval '1 hour',
    data = '', wrapped = NULL, prev_wrapped = NULL, next_salt = NULL, version = s.version + 1
WHERE s.user_id IS NULL AND s.revoked_at IS NULL
