-- What server this is, and through what door: a backend id that is not the one of the handshake means a pooler.
SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean, current_setting('server_version_num')::integer,
       current_setting('server_version'), pg_backend_pid(), clock_timestamp(), current_user::text
