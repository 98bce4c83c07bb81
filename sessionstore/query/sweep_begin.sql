-- Whether the last sweep of any pod is $1 microseconds ago, and what it has counted; -1: nothing yet.
SELECT w.swept_at < clock_timestamp() - $1::bigint * interval '1 microsecond', coalesce(w.active, -1)
FROM /*schema*/pgcoherence.session_sweep AS w
