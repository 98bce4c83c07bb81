-- $1 ids, $2 microseconds since each was used, $3 from where: the use is what counts, not the arrival of this batch. Rows
-- that somebody else holds are skipped and come back in the next batch, so no two batches ever wait for each other.
WITH used AS (
    SELECT t.id::uuid AS id, clock_timestamp() - t.age * interval '1 microsecond' AS at, t.address
    FROM unnest($1::text[], $2::bigint[], $3::text[]) AS t (id, age, address)
), held AS (
    SELECT s.key, used.at, used.address FROM used
    JOIN /*schema*/pgcoherence.session AS s ON s.id = used.id AND s.revoked_at IS NULL
    WHERE s.last_seen < used.at AND s.expires_at > used.at AND (s.idle IS NULL OR s.last_seen + s.idle > used.at)
    FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE /*schema*/pgcoherence.session AS s SET last_seen = held.at, last_address = coalesce(nullif(held.address, ''), s.last_address)
FROM held WHERE s.key = held.key
RETURNING s.id::text
