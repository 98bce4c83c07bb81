-- How many pages the table has, and where the walk is.
SELECT pg_relation_size('/*schema*/pgcoherence.session') / current_setting('block_size')::bigint,
    (SELECT w.walked_to FROM /*schema*/pgcoherence.session_sweep AS w)
