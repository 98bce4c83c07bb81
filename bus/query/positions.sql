-- Where all pods are, and for how long each had watched its epoch when it said so. A count that cannot be one is the
-- worst. $1 epoch.
SELECT epoch = $1, pos_xmax::text, CASE WHEN pos_n BETWEEN 0 AND 4294967295 THEN pos_n ELSE 4294967295 END, watched_ms
FROM /*schema*/pgcoherence.pod
