-- The tables that a name means: with its schema before it, or as the search path finds it. Names are compared as they
-- are, so nothing has to be quoted, and one with a dot in it works as long as it means one table only. $1 name.
SELECT c.oid
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (n.nspname::text || '.' || c.relname::text = $1 OR c.relname::text = $1 AND pg_table_is_visible(c.oid))
