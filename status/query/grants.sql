-- What the role may not do but must, of the components in $1, as "PRIVILEGE ON table"; tables that are missing are for
-- another check. Asking takes no right at all.
SELECT coalesce(array_agg(privilege || ' ON ' || name ORDER BY name, privilege), '{}')
FROM (VALUES ('bus', 'event', '{SELECT,INSERT,DELETE}'::text[]), ('bus', 'epoch', '{SELECT,INSERT,UPDATE}'),
             ('bus', 'pod', '{SELECT,INSERT,UPDATE,DELETE}'), ('bus', 'setting', '{SELECT}'), ('bus', 'migration', '{SELECT}'),
             ('lock', 'lease', '{SELECT,INSERT,UPDATE,DELETE}'), ('lock', 'lease_waiter', '{SELECT,INSERT,UPDATE,DELETE}'),
             ('lock', 'incarnation', '{SELECT,UPDATE}'),
             ('sessionstore', 'session', '{SELECT,INSERT,UPDATE,DELETE}'),
             ('sessionstore', 'session_user', '{SELECT,INSERT,UPDATE}'),
             ('sessionstore', 'session_logout', '{SELECT,INSERT,UPDATE,DELETE}'),
             ('sessionstore', 'one_time', '{SELECT,INSERT,UPDATE,DELETE}')) AS need (component, name, privileges),
     unnest(privileges) AS privilege, pg_class AS c, pg_namespace AS n
WHERE component = ANY ($1) AND n.nspname = $2 AND c.relnamespace = n.oid AND c.relname = need.name AND c.relkind IN ('r', 'p')
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, privilege))
