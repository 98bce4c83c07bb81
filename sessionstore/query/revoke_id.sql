-- A row that its holder has ended already takes the new reason: it can then no longer be renewed by a framework that
-- makes its own tokens.
UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = coalesce(s.revoked_at, clock_timestamp()), revoke_reason = $3, revoked_by = nullif($5::text, ''),
    sweep_at = clock_timestamp() + interval '1 hour',
    data = '', wrapped = NULL, prev_wrapped = NULL, next_salt = NULL, version = s.version + 1
WHERE s.id = $1::text::uuid AND s.user_id IS NOT DISTINCT FROM nullif($2::text, '') AND (s.revoked_at IS NULL OR s.revoke_reason = $4)
RETURNING s.id::text, s.key, s.prev_key, coalesce(s.user_id, '')
