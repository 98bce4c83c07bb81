-- Rows that are not over are left to their deadlines and to the walk. What a rotation has left, and nobody can use any more,
-- goes with it.
UPDATE /*schema*/pgcoherence.session AS s
SET sweep_at = CASE WHEN s.revoked_at IS NOT NULL THEN s.revoked_at + interval '1 hour'
        WHEN s.sweep_at > now.at THEN s.sweep_at END,
    next_salt = CASE WHEN s.prev_until > now.at THEN s.next_salt END,
    prev_wrapped = CASE WHEN s.prev_until > now.at THEN s.prev_wrapped END
FROM (SELECT clock_timestamp() AS at) AS now
WHERE s.key = ANY ($1::bytea[])
