-- The valid sessions, counted in $1 percent of the table's pages.
UPDATE /*schema*/pgcoherence.session_sweep AS w
SET swept_at = clock_timestamp(), active = (
    SELECT (count(*) * 100 / $1::float8)::bigint
    FROM /*schema*/pgcoherence.session AS s TABLESAMPLE SYSTEM ($1::float8)
    LEFT JOIN /*schema*/pgcoherence.session_user AS u ON u.user_id = s.user_id
    WHERE s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
        AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
        AND (s.user_id IS NULL OR s.gen = u.gen)
)
RETURNING w.active
