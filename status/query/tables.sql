-- The tables of the components in $1 in the schema $2: whether each is there, whether it is logged, and whether row level
-- security hides rows from this role. Asking needs no right.
SELECT need.component, need.name, need.logged, c.oid IS NOT NULL,
       coalesce(c.relpersistence::text, ''), coalesce(row_security_active(c.oid), false)
FROM (VALUES ('bus', 'event', false), ('bus', 'epoch', false), ('bus', 'pod', true), ('bus', 'setting', true),
             ('lock', 'lease', true), ('lock', 'lease_waiter', true), ('lock', 'lease_share', true), ('lock', 'incarnation', true),
             ('sessionstore', 'session', true), ('sessionstore', 'session_user', true),
             ('sessionstore', 'session_logout', true), ('sessionstore', 'one_time', true)) AS need (component, name, logged)
     LEFT JOIN pg_class AS c ON c.relname = need.name AND c.relkind IN ('r', 'p')
         AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $2)
WHERE component = ANY ($1)
ORDER BY component, name
