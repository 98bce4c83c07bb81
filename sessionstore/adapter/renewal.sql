-- A session that its own holder has ended, and nobody else since: for the one that continues it under another token.
SELECT coalesce(s.user_id, ''), s.gen, (extract(epoch FROM s.expires_at - clock_timestamp()) * 1000000)::bigint, coalesce(s.issuer, ''), coalesce(s.sid, '')
FROM /*schema*/pgcoherence.session AS s
WHERE s.id = $1::text::uuid AND s.revoked_at IS NOT NULL AND s.revoke_reason = $2
    AND NOT EXISTS (
        SELECT FROM /*schema*/pgcoherence.session AS o
        WHERE o.id = s.id AND o.revoked_at IS NOT NULL AND o.revoke_reason IS DISTINCT FROM $2
    )
ORDER BY s.revoked_at DESC
LIMIT 1
