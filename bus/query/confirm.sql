-- Where a confirmation begins: the log's identity, a snapshot, what became of each transaction, and for how many
-- milliseconds a pod can at most go on trusting its cache. A status is null for a transaction that this server has not
-- seen or has long forgotten. $1 transactions.
SELECT /*schema*/pgcoherence.identity(), pg_current_snapshot()::text,
       array(SELECT CASE WHEN x < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(x) END
             FROM unnest($1::text[]::xid8[]) WITH ORDINALITY AS t (x, i) ORDER BY i),
       greatest(/*schema*/pgcoherence.pod_lease_ms(),
                (SELECT max(least(trusts_ms, 86400000)) * 10 / 9 + 1 FROM /*schema*/pgcoherence.pod))
