-- When a row can be over for an hour, if it is not used again. One that is used is looked at when it is twice as old, and
-- at least once a day. What a rotation has left, and nobody can use any more, goes with it.
UPDATE /*schema*/pgcoherence.session AS s
SET sweep_at = least(coalesce(s.revoked_at, s.expires_at) + interval '1 hour',
        greatest(s.last_seen + s.idle + interval '1 hour', now.at + least(now.at - s.created_at, interval '1 day'))),
    next_salt = CASE WHEN s.prev_until > now.at THEN s.next_salt END,
    prev_wrapped = CASE WHEN s.prev_until > now.at THEN s.prev_wrapped END
FROM (SELECT clock_timestamp() AS at) AS now
WHERE s.key = ANY ($1::bytea[])
