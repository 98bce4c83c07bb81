-- What the role may not do but must, as "PRIVILEGE ON table"; empty if it may do all. Asking takes no right at all.
SELECT coalesce(array_agg(privilege || ' ON ' || name), '{}')
FROM (VALUES ('event', 'SELECT'), ('event', 'INSERT'), ('event', 'DELETE'), ('epoch', 'SELECT'), ('epoch', 'INSERT'),
             ('epoch', 'UPDATE'), ('pod', 'SELECT'), ('pod', 'INSERT'), ('pod', 'UPDATE'), ('pod', 'DELETE'),
             ('setting', 'SELECT')) AS need (name, privilege)
WHERE NOT has_table_privilege('/*schema*/pgcoherence.' || name, privilege)
