-- What server this is, and its time.
SELECT current_setting('server_version_num')::integer, current_setting('server_version'), clock_timestamp()
