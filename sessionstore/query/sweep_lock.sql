-- One pod sweeps at a time, the others come back later. Of the transaction, so it works through a pooler too.
SELECT pg_try_advisory_xact_lock(hashtextextended($1::text, 7303015))
