-- How many events the log holds, by the server's own statistics, and how old the oldest is in milliseconds, null for none.
-- It begins where the last prune ended: what is dead before that is not read. $1 the largest transaction up to which
-- everything is deleted.
SELECT pg_stat_get_live_tuples('/*schema*/pgcoherence.event'::regclass),
       (SELECT greatest(extract(epoch FROM least(clock_timestamp() - CASE WHEN isfinite(at) THEN at END, interval '20 years')) * 1000, 0)::bigint
        FROM /*schema*/pgcoherence.event WHERE xid >= $1::text::xid8 ORDER BY xid LIMIT 1)
