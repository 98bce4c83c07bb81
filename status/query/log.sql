-- How old the oldest event of the log is, in seconds (null: there is none); how many pods there are; the pod lease.
SELECT (SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM /*schema*/pgcoherence.event ORDER BY xid LIMIT 1),
       (SELECT count(*) FROM /*schema*/pgcoherence.pod),
       (SELECT extract(epoch FROM pod_lease)::float8 FROM /*schema*/pgcoherence.setting)
