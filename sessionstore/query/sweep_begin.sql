-- Whether the last sweep of any pod is $1 microseconds ago, how many microseconds it is ago, at most $2, and what it has
-- counted; -1: nothing yet.
SELECT w.swept_at < clock_timestamp() - $1::bigint * interval '1 microsecond',
    CASE WHEN w.swept_at < clock_timestamp() - $2::bigint * interval '1 microsecond' THEN $2::bigint
        ELSE (extract(epoch FROM clock_timestamp() - w.swept_at) * 1000000)::bigint END,
    coalesce(w.active, -1)
FROM /*schema*/pgcoherence.session_sweep AS w
