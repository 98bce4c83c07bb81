-- Events staged in a transaction that is not ours, through whatever driver: all in one text parameter, which is ASCII.
-- $1 JSON [{"n":-1,"t":"topic","k":["key"],"w":false}], $2 origin, $3 the transaction that this has to be in, or null.
-- Topics and keys in other characters come as hexadecimal UTF-8, in "tx" and "kx". Where the database cannot hold them,
-- the event is one of the whole topic, and such a topic violates the NOT NULL of its column.
INSERT INTO /*schema*/pgcoherence.event (n, origin, topic, keys, whole)
SELECT e.n, $2::text::uuid,
       CASE WHEN e.tx IS NULL THEN e.t WHEN exact THEN convert_from(decode(e.tx, 'hex'), 'UTF8') END,
       CASE WHEN e.kx IS NULL THEN coalesce(e.k, '{}')
            WHEN exact THEN coalesce(e.k, '{}') || array(SELECT convert_from(decode(x, 'hex'), 'UTF8') FROM unnest(e.kx) AS x)
            ELSE '{}' END,
       coalesce(e.w, false) OR e.kx IS NOT NULL AND NOT exact
FROM json_to_recordset($1::text::json) AS e (n integer, t text, tx text, k text[], kx text[], w boolean),
     LATERAL (SELECT getdatabaseencoding() = 'UTF8' AS exact) AS encoding
WHERE $3::text IS NULL OR $3::text = pg_current_xact_id_if_assigned()::text
RETURNING xid::text
