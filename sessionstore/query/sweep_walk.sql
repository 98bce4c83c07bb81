-- What is to be done in the pages $1 to $2 of the table: rows that are over for an hour, and that no index leads to because
-- uses are not indexed; sessions of users who are gone; and what a rotation has left and nobody can use any more. Of the
-- rest nothing is written.
SELECT s.key,
    CASE WHEN s.revoked_at < now.at - interval '1 hour' THEN 'revoked'
        WHEN s.expires_at < now.at - interval '1 hour' THEN 'expired'
        WHEN s.revoked_at IS NULL AND s.last_seen + s.idle < now.at - interval '1 hour' THEN 'idle' ELSE '' END
FROM /*schema*/pgcoherence.session AS s CROSS JOIN (SELECT clock_timestamp() AS at) AS now
WHERE s.ctid >= ('(' || $1::bigint || ',0)')::tid AND s.ctid < ('(' || $2::bigint || ',0)')::tid
    AND (s.revoked_at < now.at - interval '1 hour' OR s.expires_at < now.at - interval '1 hour'
        OR s.revoked_at IS NULL AND s.last_seen + s.idle < now.at - interval '1 hour'
        OR s.prev_until <= now.at AND (s.next_salt IS NOT NULL OR s.prev_wrapped IS NOT NULL)
        OR s.revoked_at IS NULL AND s.user_id IS NOT NULL
            AND s.gen IS DISTINCT FROM (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
LIMIT $3 FOR UPDATE OF s SKIP LOCKED
