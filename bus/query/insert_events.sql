-- Events staged in a transaction that is not ours, through whatever driver: all in one text parameter.
-- $1 JSON [{"n":-1,"t":"topic","k":["key"],"w":false}], $2 origin, $3 the transaction that this has to be in, or null.
INSERT INTO /*schema*/pgcoherence.event (n, origin, topic, keys, whole)
SELECT e.n, $2::text::uuid, e.t, coalesce(e.k, '{}'), coalesce(e.w, false)
FROM json_to_recordset($1::text::json) AS e (n integer, t text, k text[], w boolean)
WHERE $3::text IS NULL OR $3::text = pg_current_xact_id_if_assigned()::text
RETURNING xid::text
