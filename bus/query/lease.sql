-- The pod lease that this pod has to keep to, and the one that confirmations wait for, in milliseconds. Whatever the table
-- holds, it is 100 ms to an hour.
SELECT ceil(1000 * extract(epoch FROM greatest(interval '100 milliseconds', least(interval '1 hour',
           coalesce((SELECT pod_lease FROM /*schema*/pgcoherence.setting), interval '5 seconds')))))::bigint,
       /*schema*/pgcoherence.pod_lease_ms()
