-- For frameworks that keep user and deadline in their data. $3 user or empty, $4 generation, $5 microseconds or 0.
UPDATE /*schema*/pgcoherence.session AS s
SET user_id = CASE WHEN $3::text = '' THEN s.user_id ELSE $3::text END,
    gen = CASE WHEN $3::text = '' THEN s.gen ELSE $4::bigint END,
    authenticated_at = CASE WHEN $3::text = '' THEN s.authenticated_at ELSE clock_timestamp() END,
    expires_at = CASE WHEN $5::bigint = 0 THEN s.expires_at ELSE clock_timestamp() + $5::bigint * interval '1 microsecond' END
WHERE (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2 AND s.prev_until > clock_timestamp())
    AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
    AND ($3::text = '' OR EXISTS (SELECT FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = $3::text AND u.gen = $4::bigint))
RETURNING s.id::text, s.key, s.prev_key
