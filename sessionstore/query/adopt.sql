-- For frameworks that keep user and deadline in their data. $3 user or empty, $4 number of the login, $5 microseconds or
-- 0, $6 age of the authentication (negative: there was none, and what was stays if it is the same user's), $7 nobody is
-- logged in any more. $8, $9 issuer and sid of the provider's session that the login came from, or empty.
UPDATE /*schema*/pgcoherence.session AS s
SET user_id = CASE WHEN $7::boolean THEN NULL WHEN $3::text = '' THEN s.user_id ELSE $3::text END,
    gen = CASE WHEN $7::boolean THEN 0 WHEN $3::text = '' THEN s.gen ELSE login.gen END,
    authenticated_at = CASE WHEN $7::boolean THEN NULL
        WHEN $3::text <> '' AND $6::bigint >= 0 THEN clock_timestamp() - $6::bigint * interval '1 microsecond'
        WHEN $3::text = '' OR s.user_id = $3::text THEN s.authenticated_at END,
    issuer = CASE WHEN $3::text <> '' AND $9::text <> '' THEN $8::text WHEN NOT $7::boolean AND ($3::text = '' OR s.user_id = $3::text) THEN s.issuer END,
    sid = CASE WHEN $3::text <> '' AND $9::text <> '' THEN $9::text WHEN NOT $7::boolean AND ($3::text = '' OR s.user_id = $3::text) THEN s.sid END,
    expires_at = CASE WHEN $5::bigint = 0 THEN s.expires_at ELSE clock_timestamp() + $5::bigint * interval '1 microsecond' END
FROM (SELECT) AS one
LEFT JOIN /*schema*/pgcoherence.session_user AS login
    ON login.user_id = nullif($3::text, '') AND (login.gen = $4::bigint OR login.opened_by = $4::bigint)
WHERE (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2 AND s.prev_until > clock_timestamp())
    AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
    AND ($3::text = '' OR login.gen IS NOT NULL)
    AND NOT EXISTS (SELECT FROM /*schema*/pgcoherence.session_logout AS l WHERE l.issuer = $8::text AND l.sid = $9::text)
RETURNING s.id::text, s.key, s.prev_key
