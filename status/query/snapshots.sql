-- Who keeps dead rows of this database from being cleaned up, the oldest first: transactions, prepared ones, replication
-- slots. The age in seconds is null where this role may not see it or there is none; the age in transactions always is.
SELECT kind, who, seconds, xids FROM (
    SELECT 'transaction' AS kind,
           format('process %s of %s (%s)', pid, usename, coalesce(nullif(application_name, ''), 'no application name')) AS who,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds, age(backend_xmin)::bigint AS xids
    FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
    UNION ALL
    SELECT 'prepared transaction', format('%L of %s', gid, owner), extract(epoch FROM clock_timestamp() - prepared)::float8,
           age(transaction)::bigint
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT 'replication slot', slot_name::text, NULL, greatest(age(xmin), age(catalog_xmin))::bigint
    FROM pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
) AS holder
WHERE seconds >= $1 OR (seconds IS NULL AND xids >= $2)
ORDER BY xids DESC NULLS LAST
LIMIT 5
