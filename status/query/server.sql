-- What server this is, and by which way: a backend id that is not the one of the handshake means a pooler.
SELECT pg_is_in_recovery(), current_setting('server_version_num')::integer, current_setting('server_version'),
       pg_backend_pid(), clock_timestamp()
