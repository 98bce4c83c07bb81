-- Takes several leases or none, as acquire.sql takes one, and without waiting for any row, so that two of these cannot
-- wait for each other. Rows that do not exist are made by make_free.sql before. Answers one row for each key.
-- $1 keys, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null, $6 ms that a waiter counts as alive.
WITH place AS MATERIALIZED (
    SELECT database
    FROM /*schema*/pgcoherence.incarnation
    WHERE server = pg_postmaster_start_time() AND database = current_database()
      AND relation = '/*schema*/pgcoherence.lease'::regclass
), free AS MATERIALIZED (
    SELECT l.key, l.grant_id = $2::text::uuid AND l.expires_at > clock_timestamp() AS again
    FROM /*schema*/pgcoherence.lease AS l, place
    WHERE l.key = ANY ($1::text[])
      AND (l.expires_at <= clock_timestamp()
           AND (NOT l.queued AND l.next_id IS NULL
                OR /*schema*/pgcoherence.may_take(l.key, $2::text::uuid, $6::bigint * interval '1 ms', l.next_id, l.next_until))
           OR l.grant_id = $2::text::uuid AND l.expires_at > clock_timestamp())
    ORDER BY l.key COLLATE "C"
    FOR UPDATE OF l SKIP LOCKED
), taken AS (
    UPDATE /*schema*/pgcoherence.lease AS l
    SET token = CASE WHEN free.again THEN l.token ELSE nextval('/*schema*/pgcoherence.lease_token') END,
        grant_id = $2::text::uuid, owner = $3::text, meta = $5::text::jsonb,
        since = CASE WHEN free.again THEN l.since ELSE clock_timestamp() END,
        expires_at = clock_timestamp() + $4::bigint * interval '1 ms',
        queued = l.queued AND /*schema*/pgcoherence.is_queued(l.key, $2::text::uuid), next_id = NULL, next_until = NULL
    FROM free
    WHERE l.key = free.key AND (SELECT count(*) FROM free) = cardinality($1::text[])
    RETURNING l.key, l.token
)
SELECT k.key, (SELECT database FROM place) AS placed, taken.token AS granted,
       l.token, l.owner, l.expires_at > clock_timestamp() AS held, l.expires_at <= clock_timestamp()
       AND (NOT l.queued AND l.next_id IS NULL
            OR /*schema*/pgcoherence.may_take(l.key, $2::text::uuid, $6::bigint * interval '1 ms', l.next_id, l.next_until)) AS turn,
       (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM CASE WHEN isfinite(l.expires_at) THEN l.expires_at - clock_timestamp() END) * 1000)::bigint AS remaining_ms,
       l.meta::text
FROM unnest($1::text[]) WITH ORDINALITY AS k (key, i)
     LEFT JOIN /*schema*/pgcoherence.lease AS l ON l.key = k.key
     LEFT JOIN taken ON taken.key = k.key
ORDER BY k.i
