-- Connections this role may still open, by the tightest of the server's, the database's and the role's own limit; which
-- one that is; and how many the server has.
WITH used AS (
    SELECT count(*) FILTER (WHERE backend_type = 'client backend') AS server,
           count(*) FILTER (WHERE datname = current_database()) AS db,
           count(*) FILTER (WHERE usename = current_user) AS role
    FROM pg_stat_activity
), room (limited_by, free) AS (
    SELECT 'server', current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
                     - coalesce(current_setting('reserved_connections', true)::integer, 0) - used.server FROM used
    UNION ALL
    SELECT 'database', d.datconnlimit - used.db FROM used, pg_database AS d WHERE d.datname = current_database() AND d.datconnlimit >= 0
    UNION ALL
    SELECT 'role', r.rolconnlimit - used.role FROM used, pg_roles AS r WHERE r.rolname = current_user AND r.rolconnlimit >= 0
)
SELECT free::integer, limited_by, current_setting('max_connections')::integer FROM room ORDER BY free LIMIT 1
