-- Every watched table with the source of its trigger function, but none that has it as a part of another one.
WITH RECURSIVE watched AS (
    SELECT DISTINCT t.tgrelid AS rel, t.tgfoid AS func, f.prosrc AS source
    FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND f.prosrc LIKE '-- pgcoherence watch %'
      AND f.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = '/*schema*/pgcoherence.event'::regclass)
), above AS (
    SELECT w.rel, w.func, i.inhparent FROM watched AS w JOIN pg_inherits AS i ON i.inhrelid = w.rel
    UNION
    SELECT a.rel, a.func, i.inhparent FROM above AS a JOIN pg_inherits AS i ON i.inhrelid = a.inhparent
)
SELECT w.rel, w.source
FROM watched AS w JOIN pg_class AS c ON c.oid = w.rel JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT EXISTS (SELECT FROM above AS a JOIN watched AS p ON p.rel = a.inhparent AND p.func = a.func
                  WHERE a.rel = w.rel AND a.func = w.func)
ORDER BY n.nspname, c.relname, w.source
