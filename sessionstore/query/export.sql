-- For audits: nothing here opens a session or leads to its data. A page of it: the $3 rows after that of $1 and
-- $2, in the order of public ids, which begin with the time of their making.
SELECT s.id::text, coalesce(s.user_id, ''), s.created_at, s.authenticated_at, s.rotated_at, s.last_seen, s.expires_at,
    coalesce((extract(epoch FROM s.idle) * 1000000)::bigint, 0), coalesce(s.issuer, ''), coalesce(s.sid, ''), s.device, coalesce(s.last_address, ''),
    s.revoked_at, coalesce(s.revoke_reason, ''), s.user_id IS NOT NULL AND s.gen IS DISTINCT FROM u.gen, u.ended_at,
    coalesce(s.revoked_by, ''), coalesce(u.ended_by, ''), s.key
FROM /*schema*/pgcoherence.session AS s
LEFT JOIN /*schema*/pgcoherence.session_user AS u ON u.user_id = s.user_id
WHERE (s.id, s.key) > ($1::text::uuid, $2::bytea)
ORDER BY s.id, s.key LIMIT $3
