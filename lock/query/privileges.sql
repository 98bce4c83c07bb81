-- What the role may not do but must, as "PRIVILEGE ON table"; empty if it may do all. Asking takes no right at all.
SELECT coalesce(array_agg(privilege || ' ON ' || name), '{}')
FROM (VALUES ('lease', 'SELECT'), ('lease', 'INSERT'), ('lease', 'UPDATE'), ('lease', 'DELETE'),
             ('lease_waiter', 'SELECT'), ('lease_waiter', 'INSERT'), ('lease_waiter', 'UPDATE'), ('lease_waiter', 'DELETE'),
             ('incarnation', 'SELECT'), ('incarnation', 'UPDATE')) AS need (name, privilege)
WHERE NOT has_table_privilege('/*schema*/pgcoherence.' || name, privilege)
