-- By token, also by one that was rotated away: who logs out with it means this session. Emptied at once, kept for an
-- hour.
UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = $3, revoked_by = nullif($4::text, ''), sweep_at = clock_timestamp() + interval '1 hour',
    data = '', wrapped = NULL, prev_wrapped = NULL, next_salt = NULL, version = s.version + 1
WHERE (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2) AND s.revoked_at IS NULL
RETURNING s.id::text, s.key, s.prev_key, coalesce(s.user_id, '')
