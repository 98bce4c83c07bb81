-- Only if the beat is still what it was. $1 ids, $2 beats.
DELETE FROM /*schema*/pgcoherence.pod AS p
USING unnest($1::text[]::uuid[], $2::bigint[]) AS dead (id, beat)
WHERE p.id = dead.id AND p.beat = dead.beat
