-- What WatchTable has to know of a table, and of what this role may do. $1 oid, $2 name of a trigger: the last column is
-- a table of which this one is a part and which has that trigger. Virtual generated columns (18 and later) are named
-- because a transition table does not hold them; older servers have none.
WITH RECURSIVE above AS (
    SELECT inhparent AS oid FROM pg_inherits WHERE inhrelid = $1
    UNION
    SELECT i.inhparent FROM pg_inherits AS i JOIN above ON i.inhrelid = above.oid
)
SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence = 't', n.oid = own.oid,
       array(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
       array(SELECT attname::text FROM pg_attribute
             WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = 'v'),
       array(SELECT a.attname::text
             FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, pos),
                  pg_attribute AS a
             WHERE i.indrelid = c.oid AND i.indisprimary AND k.pos <= i.indnkeyatts
               AND a.attrelid = c.oid AND a.attnum = k.attnum
             ORDER BY k.pos),
       pg_has_role(c.relowner, 'USAGE'), pg_get_userbyid(c.relowner)::text, getdatabaseencoding()::text,
       has_schema_privilege(own.oid, 'CREATE') AND pg_has_role(log.relowner, 'MEMBER'), pg_get_userbyid(log.relowner)::text,
       (SELECT format('%s.%s', an.nspname, a.relname)
        FROM above JOIN pg_class AS a USING (oid) JOIN pg_namespace AS an ON an.oid = a.relnamespace
             JOIN pg_trigger AS t ON t.tgrelid = a.oid AND t.tgname::text = $2 LIMIT 1)
FROM pg_class AS c
     JOIN pg_namespace AS n ON n.oid = c.relnamespace
     JOIN pg_class AS log ON log.oid = '/*schema*/pgcoherence.event'::regclass
     JOIN pg_namespace AS own ON own.oid = log.relnamespace
WHERE c.oid = $1
