-- $3 idle timeout in microseconds or 0, $4 how long after its login, or its beginning, the session ends.
UPDATE /*schema*/pgcoherence.session AS s
SET idle = nullif($3::bigint, 0) * interval '1 microsecond',
    expires_at = coalesce(s.authenticated_at, s.created_at) + $4::bigint * interval '1 microsecond',
    prev_until = CASE WHEN s.prev_grace IS NULL THEN s.prev_until
        ELSE coalesce(s.authenticated_at, s.created_at) + $4::bigint * interval '1 microsecond' END,
    sweep_at = clock_timestamp() + nullif($3::bigint, 0) * interval '1 microsecond' + interval '1 hour'
WHERE (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2 AND s.prev_until > clock_timestamp())
    AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
RETURNING s.id::text, s.key, s.prev_key, coalesce(s.user_id, '')
