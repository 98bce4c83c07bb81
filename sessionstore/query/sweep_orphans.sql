-- The same for sessions that a sweep has met by itself ($1): those of a user who is gone, or that came late.
UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = $2, sweep_at = clock_timestamp() + interval '1 hour',
    data = '', wrapped = NULL, prev_wrapped = NULL, next_salt = NULL, version = s.version + 1
WHERE s.key = ANY ($1::bytea[]) AND s.revoked_at IS NULL AND s.user_id IS NOT NULL
    AND s.gen IS DISTINCT FROM (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id)
