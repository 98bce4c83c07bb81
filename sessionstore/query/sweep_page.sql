-- A page of the table in the order of its key, for what no index tells: sessions idle for too long, those whose user's
-- sessions were all ended, and, as the page is read anyway, those that are valid. Idleness is not indexed, because
-- touches would pay for it.
SELECT page.key,
    coalesce(page.revoked_at IS NULL AND page.last_seen + page.idle < clock_timestamp() - interval '1 hour', false),
    page.revoked_at IS NULL AND page.user_id IS NOT NULL AND page.gen IS DISTINCT FROM u.gen,
    coalesce(page.revoked_at IS NULL AND page.expires_at > clock_timestamp()
        AND (page.idle IS NULL OR page.last_seen + page.idle > clock_timestamp())
        AND (page.user_id IS NULL OR page.gen = u.gen), false)
FROM (
    SELECT s.key, s.revoked_at, s.expires_at, s.last_seen, s.idle, s.user_id, s.gen FROM /*schema*/pgcoherence.session AS s
    WHERE s.key > $1 ORDER BY s.key LIMIT $2
) AS page
LEFT JOIN /*schema*/pgcoherence.session_user AS u ON u.user_id = page.user_id
ORDER BY page.key
