-- What the role may not do but must, of the components in $1, as "PRIVILEGE ON name", and how many rights were asked for.
-- Tables that are missing are for another check. Functions are those of the schema, whichever component they belong to;
-- those of triggers run for everybody. Asking takes no right at all.
SELECT coalesce(array_agg(privilege || ' ON ' || name ORDER BY name, privilege) FILTER (WHERE NOT allowed), '{}'), count(*)
FROM (
    SELECT need.name, privilege, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, privilege) AS allowed
    FROM (VALUES ('bus', 'event', '{SELECT,INSERT,DELETE}'::text[]), ('bus', 'epoch', '{SELECT,INSERT,UPDATE}'),
                 ('bus', 'pod', '{SELECT,INSERT,UPDATE,DELETE}'), ('bus', 'setting', '{SELECT}'), ('bus', 'migration', '{SELECT}'),
                 ('lock', 'lease', '{SELECT,INSERT,UPDATE,DELETE}'), ('lock', 'lease_waiter', '{SELECT,INSERT,UPDATE,DELETE}'),
                 ('lock', 'lease_share', '{SELECT,INSERT,UPDATE,DELETE}'),
                 ('lock', 'incarnation', '{SELECT,UPDATE}'),
                 ('sessionstore', 'session', '{SELECT,INSERT,UPDATE,DELETE}'),
                 ('sessionstore', 'session_user', '{SELECT,INSERT,UPDATE}'),
                 ('sessionstore', 'session_logout', '{SELECT,INSERT,UPDATE,DELETE}'),
                 ('sessionstore', 'one_time', '{SELECT,INSERT,UPDATE,DELETE}')) AS need (component, name, privileges),
         unnest(privileges) AS privilege, pg_class AS c, pg_namespace AS n
    WHERE component = ANY ($1) AND n.nspname = $2 AND c.relnamespace = n.oid AND c.relname = need.name AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT 'function ' || p.proname, 'EXECUTE', has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = $2 AND p.prorettype <> 'trigger'::regtype AND p.prokind = 'f'
    UNION ALL
    SELECT 'sequence ' || c.relname, 'USAGE', has_sequence_privilege(c.oid, 'USAGE')
    FROM (VALUES ('lock', 'lease_token')) AS need (component, name), pg_class AS c, pg_namespace AS n
    WHERE component = ANY ($1) AND n.nspname = $2 AND c.relnamespace = n.oid AND c.relname = need.name AND c.relkind = 'S'
) AS rights
