-- How full the notification queue is, and the sessions that may hold its tail: those that have been in one transaction
-- for long, and those whose client does not read. No view says who listens, so these are suspects, the oldest first.
SELECT pg_notification_queue_usage(),
       array(SELECT pid FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
               AND (wait_event = 'ClientWrite' OR state LIKE 'idle in transaction%' OR xact_start < clock_timestamp() - interval '10 seconds')
             ORDER BY xact_start NULLS LAST LIMIT 5)
