-- The time is looked at again under the row's lock: a touch may have come in between.
DELETE FROM /*schema*/pgcoherence.session WHERE key IN (
    SELECT s.key FROM /*schema*/pgcoherence.session AS s
    WHERE s.key = ANY ($1::bytea[]) AND s.revoked_at IS NULL AND s.last_seen + s.idle < clock_timestamp() - interval '1 hour'
    FOR UPDATE SKIP LOCKED
)
