-- The first statement of a REPEATABLE READ transaction: all later ones read in this snapshot.
SELECT pg_current_snapshot()::text, pg_is_in_recovery()
