-- Sessions of another generation than their user's ($1, $2) are invalid already; here they lose their data, too. The users
-- are locked, so no session is moved meanwhile.
UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = $3, sweep_at = clock_timestamp() + interval '1 hour',
    data = '', wrapped = NULL, prev_wrapped = NULL, next_salt = NULL, version = s.version + 1
WHERE s.key IN (
    SELECT l.key FROM unnest($1::text[], $2::bigint[]) AS t (user_id, gen)
    JOIN /*schema*/pgcoherence.session AS l ON l.user_id = t.user_id AND l.gen <> t.gen AND l.revoked_at IS NULL
    LIMIT $4 FOR UPDATE OF l SKIP LOCKED
) AND s.revoked_at IS NULL
