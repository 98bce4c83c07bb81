-- One pod sweeps at a time, the others come back later. Of the transaction, so it works through a pooler too. However
-- large the tables are, what follows reads indexes: the planner is not asked. Nor does it compile what costs so much by its
-- reckoning.
SELECT pg_try_advisory_xact_lock(hashtextextended($1::text, 7303015))
FROM (SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)) AS plans
