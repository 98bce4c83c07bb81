-- Those that are over already have no index by user; they go within the hour.
DELETE FROM /*schema*/pgcoherence.session WHERE user_id = $1 AND revoked_at IS NULL
RETURNING id::text, key, prev_key, user_id
