-- Sessions of an older generation are invalid already; here they lose their data, too. Raising a generation never
-- moves a row back, but all-but-one moves one forward: so it is compared again under the row's lock.
UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = $2, data = '', wrapped = NULL, prev_wrapped = NULL, version = s.version + 1
WHERE s.key IN (
    SELECT l.key FROM /*schema*/pgcoherence.session AS l
    WHERE l.key = ANY ($1::bytea[]) AND l.revoked_at IS NULL FOR UPDATE SKIP LOCKED
) AND s.gen < (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id)
