SELECT pg_relation_size('/*schema*/pgcoherence.session') / current_setting('block_size')::bigint
