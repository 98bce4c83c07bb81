-- No row comes back if the generation is no longer the one the login began with, or the identity provider has announced
-- the end of this sid. $15: a renewed session keeps the id of a revoked one; that one must then have been ended by its
-- own holder ($16), and its row stays locked, so that who ends the session by its id waits and finds the new row. $11
-- negative: nobody has authenticated; a renewed session keeps what it had. A first login makes the user's row as well.
WITH prior AS (
    SELECT p.revoke_reason, p.authenticated_at FROM /*schema*/pgcoherence.session AS p
    WHERE p.id = $3::text::uuid AND p.revoked_at IS NOT NULL AND $15::boolean
    FOR UPDATE
)
INSERT INTO /*schema*/pgcoherence.session
    (key, proof, id, user_id, gen, version, last_write, data, wrapped, idle, created_at, rotated_at, last_seen, expires_at, authenticated_at,
    issuer, sid, device, sweep_at)
SELECT $1, $2, $3::text::uuid, nullif($4::text, ''), coalesce(login.gen, 0), 1, $6::text::uuid, $7, $8,
    nullif($9::bigint, 0) * interval '1 microsecond', now.at, now.at, now.at, now.at + $10::bigint * interval '1 microsecond',
    CASE WHEN $4::text <> '' AND $11::bigint >= 0 THEN now.at - $11::bigint * interval '1 microsecond'
        WHEN $4::text <> '' THEN (SELECT max(p.authenticated_at) FROM prior AS p) END,
    nullif($12::text, ''), nullif($13::text, ''),
    $14::text::jsonb,
    now.at + nullif($9::bigint, 0) * interval '1 microsecond' + interval '1 hour'
FROM (SELECT clock_timestamp() AS at) AS now
LEFT JOIN (
    SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u
    WHERE NOT $17::boolean AND u.user_id = nullif($4::text, '') AND (u.gen = $5::bigint OR u.opened_by = $5::bigint)
    UNION ALL
    SELECT /*schema*/pgcoherence.session_enter($4::text, $5::bigint) WHERE $17::boolean
) AS login ON true
WHERE ($4::text = '' OR login.gen IS NOT NULL)
    AND NOT EXISTS (SELECT FROM /*schema*/pgcoherence.session_logout AS l WHERE l.issuer = $12::text AND l.sid = $13::text)
    AND NOT EXISTS (SELECT FROM prior WHERE revoke_reason IS DISTINCT FROM $16::text)
ON CONFLICT (key) DO NOTHING
RETURNING created_at, authenticated_at, rotated_at, last_seen, expires_at
