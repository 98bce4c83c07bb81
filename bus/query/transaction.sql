-- The transaction that this statement runs in, so that a later one can check whether it runs in the same.
SELECT pg_current_xact_id()::text
