-- What pods seal rows with in a second level of cache: whoever can write there, and not read this, has nothing taken.
SELECT t.tier_key FROM /*schema*/pgcoherence.session_state AS t
