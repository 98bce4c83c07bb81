-- How the sessions stand that streams are bound to. One that is not among the answers is gone.
SELECT s.id::text, coalesce(u.tag::text, ''), s.revoked_at IS NOT NULL OR s.user_id IS NOT NULL AND s.gen IS DISTINCT FROM u.gen,
    (extract(epoch FROM least(s.expires_at, s.last_seen + s.idle) - clock_timestamp()) * 1000000)::bigint
FROM /*schema*/pgcoherence.session AS s
LEFT JOIN /*schema*/pgcoherence.session_user AS u ON u.user_id = s.user_id
WHERE s.id = ANY ($1::text[]::uuid[])
ORDER BY s.revoked_at IS NOT NULL DESC
