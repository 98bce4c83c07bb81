-- What kind of server, through what kind of door: a backend whose id is not the one of the handshake stands behind a
-- pooler, and then session settings are not ours to make.
SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean, pg_backend_pid(),
       current_setting('server_version_num')::integer
