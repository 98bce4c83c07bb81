-- What the role lacks, as "PRIVILEGE ON name", and the tables whose rows row level security hides from it; both empty if
-- all is well. Asking takes no right but to use the schema. What does not exist is not looked at: the version says so.
SELECT array(SELECT privilege || ' ON ' || name
             FROM (VALUES ('event', 'SELECT'), ('event', 'DELETE'), ('epoch', 'SELECT'),
                          ('epoch', 'INSERT'), ('epoch', 'UPDATE'), ('pod', 'SELECT'), ('pod', 'INSERT'), ('pod', 'UPDATE'),
                          ('pod', 'DELETE'), ('pod_departure', 'SELECT'), ('setting', 'SELECT'), ('migration', 'SELECT'))
                  AS need (name, privilege)
             WHERE NOT has_table_privilege(to_regclass('/*schema*/pgcoherence.' || name), privilege)
             UNION ALL
             SELECT 'INSERT ON event'
             WHERE NOT (SELECT bool_and(has_column_privilege(to_regclass('/*schema*/pgcoherence.event'), attname, 'INSERT'))
                        FROM pg_attribute WHERE attrelid = to_regclass('/*schema*/pgcoherence.event')
                          AND attname IN ('n', 'origin', 'topic', 'keys', 'whole'))
             UNION ALL
             SELECT 'EXECUTE ON FUNCTION ' || name
             FROM (VALUES ('identity()'), ('server_id()'), ('database_id()'), ('begin_epoch()'), ('pod_lease_ms()')) AS need (name)
             WHERE NOT has_function_privilege(to_regprocedure('/*schema*/pgcoherence.' || name), 'EXECUTE')),
       array(SELECT c.relname::text FROM pg_class AS c
             WHERE c.relnamespace = to_regnamespace('/*schema*/pgcoherence') AND c.relrowsecurity
               AND c.relname IN ('event', 'epoch', 'pod', 'pod_departure', 'setting', 'migration') AND row_security_active(c.oid)
             ORDER BY 1),
       current_user::text
