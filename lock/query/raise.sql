-- $1 by hand, $2 reason. A null: another process did it.
SELECT /*schema*/pgcoherence.raise_incarnation($1::boolean, $2::text)
