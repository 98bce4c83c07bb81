-- Where a confirmation begins: the log's identity, a snapshot, and what became of each transaction; null for one that
-- this server has not seen or has long forgotten. $1 transactions.
SELECT /*schema*/pgcoherence.identity(), pg_current_snapshot()::text,
       array(SELECT CASE WHEN x < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(x) END
             FROM unnest($1::text[]::xid8[]) WITH ORDINALITY AS t (x, i) ORDER BY i)
