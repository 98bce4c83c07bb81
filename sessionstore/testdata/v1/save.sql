-- $1, $2 the token's hash, $3 id, $4 version that was read. Not an upsert: what is gone stays gone.
UPDATE /*schema*/pgcoherence.session AS s
SET data = $5, version = s.version + 1, last_write = $6::text::uuid, wrapped = coalesce($7, s.wrapped)
WHERE (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2 AND s.prev_until > clock_timestamp())
    AND s.id = $3::text::uuid AND s.version = $4
    AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
RETURNING s.version, s.key, s.prev_key
