-- Connections this role may still open, by the tightest of the server's, the database's and the role's own limit, and
-- how many there are by the first.
SELECT least(
           current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
               - coalesce(current_setting('reserved_connections', true)::integer, 0) - server.used,
           CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit - db.used END,
           CASE WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit - role.used END)::integer,
       current_setting('max_connections')::integer
FROM pg_database AS d, pg_roles AS r,
     (SELECT count(*) AS used FROM pg_stat_activity WHERE backend_type = 'client backend') AS server,
     (SELECT count(*) AS used FROM pg_stat_activity WHERE datname = current_database()) AS db,
     (SELECT count(*) AS used FROM pg_stat_activity WHERE usename = current_user) AS role
WHERE d.datname = current_database() AND r.rolname = current_user
