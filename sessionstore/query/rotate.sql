-- $1, $2 the hash of a token of the session, $3, $4 the new one's, $5 the data's key wrapped by the new token, $6 the
-- grace of the old token in microseconds, $7 last write. $8 user and $9 number of a login that is the reason, with
-- deadlines $10 idle and $11 absolute that begin anew, $12 age of the authentication (negative: there was none), $13
-- issuer, $14 sid, $15 device or empty, $16 from which and the old token the new one was derived. With a grace the old
-- token goes on until the new one is used, and then for the grace.
UPDATE /*schema*/pgcoherence.session AS s
SET key = $3, proof = $4, wrapped = $5,
    prev_key = CASE WHEN $6::bigint > 0 THEN s.key END,
    prev_proof = CASE WHEN $6::bigint > 0 THEN s.proof END,
    prev_wrapped = CASE WHEN $6::bigint > 0 THEN s.wrapped END,
    prev_until = CASE WHEN $6::bigint > 0 THEN s.expires_at END,
    prev_grace = CASE WHEN $6::bigint > 0 THEN $6::bigint * interval '1 microsecond' END,
    next_salt = $16,
    rotated_at = clock_timestamp(), last_seen = clock_timestamp(), last_write = $7::text::uuid,
    user_id = CASE WHEN $8::text = '' THEN s.user_id ELSE $8::text END,
    gen = CASE WHEN $8::text = '' THEN s.gen ELSE login.gen END,
    idle = CASE WHEN $8::text = '' THEN s.idle ELSE nullif($10::bigint, 0) * interval '1 microsecond' END,
    expires_at = CASE WHEN $8::text = '' THEN s.expires_at ELSE clock_timestamp() + $11::bigint * interval '1 microsecond' END,
    authenticated_at = CASE WHEN $8::text = '' THEN s.authenticated_at
        WHEN $12::bigint >= 0 THEN clock_timestamp() - $12::bigint * interval '1 microsecond' END,
    issuer = CASE WHEN $8::text = '' THEN s.issuer ELSE nullif($13::text, '') END,
    sid = CASE WHEN $8::text = '' THEN s.sid ELSE nullif($14::text, '') END,
    sweep_at = CASE WHEN $8::text = '' THEN s.sweep_at
        ELSE clock_timestamp() + nullif($10::bigint, 0) * interval '1 microsecond' + interval '1 hour' END,
    device = CASE WHEN $15::text = '' THEN s.device ELSE $15::text::jsonb END
FROM (SELECT o.key, o.key AS current, o.prev_key FROM /*schema*/pgcoherence.session AS o WHERE o.key = $1 OR o.prev_key = $1) AS old
LEFT JOIN /*schema*/pgcoherence.session_user AS login
    ON login.user_id = nullif($8::text, '') AND (login.gen = $9::bigint OR login.opened_by = $9::bigint)
WHERE s.key = old.key
    AND (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2 AND s.prev_until > clock_timestamp() AND $6::bigint = 0)
    AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
    AND ($8::text = '' OR login.gen IS NOT NULL)
    AND NOT EXISTS (SELECT FROM /*schema*/pgcoherence.session_logout AS l WHERE l.issuer = $13::text AND l.sid = $14::text)
RETURNING s.id::text, old.current, old.prev_key
