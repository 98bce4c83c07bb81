-- A table and all its partitions and heirs, the table itself first, each with the triggers that call a function of ours;
-- a table without one has a row of nulls. Foreign tables cannot have transition tables. $1 oid.
WITH RECURSIVE tree AS (
    SELECT $1::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
)
SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled::text, f.proname::text, f.prosrc
FROM tree
     JOIN pg_class AS c USING (oid)
     JOIN pg_namespace AS n ON n.oid = c.relnamespace
     LEFT JOIN (pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
                AND f.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = '/*schema*/pgcoherence.event'::regclass))
         ON t.tgrelid = c.oid AND NOT t.tgisinternal
WHERE c.relkind IN ('r', 'p')
ORDER BY c.oid <> $1, c.oid, t.tgname
