-- The client has the new token of a rotation: the old one goes on for the grace from now on.
UPDATE /*schema*/pgcoherence.session AS s
SET prev_until = least(s.prev_until, clock_timestamp() + s.prev_grace), prev_grace = NULL
WHERE s.key = $1 AND s.proof = $2 AND s.prev_grace IS NOT NULL AND s.revoked_at IS NULL
RETURNING s.id::text, s.key, s.prev_key, ''
