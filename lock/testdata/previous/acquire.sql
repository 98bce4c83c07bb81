-- Takes a lease if it is free and it is this grant's turn; otherwise writes nothing and tells who has it. The row is
-- locked as a change of token needs it, FOR UPDATE, and never waited for: one that is locked is renewed, handed on, or
-- guarded by somebody's transaction right now. A grant that is there already, because an answer was lost, is found by
-- its id and made to last anew. Nothing is granted where the incarnation does not describe this server; where it does,
-- that is answered too, for acquire_free.sql and claim.sql.
-- $1 key, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null, $6 ms that a waiter counts as alive.
WITH place AS MATERIALIZED (
    SELECT server, database, relation
    FROM /*schema*/pgcoherence.incarnation
    WHERE server = pg_postmaster_start_time() AND database = current_database()
      AND relation = '/*schema*/pgcoherence.lease'::regclass
), free AS MATERIALIZED (
    SELECT l.key, l.grant_id = $2::text::uuid AND l.expires_at > clock_timestamp() AS again, l.queued, l.next_id
    FROM /*schema*/pgcoherence.lease AS l, place
    WHERE l.key = $1::text
      AND (l.expires_at <= clock_timestamp()
           AND (NOT l.queued AND l.next_id IS NULL
                OR /*schema*/pgcoherence.may_take(l.key, $2::text::uuid, $6::bigint * interval '1 ms', l.next_id, l.next_until))
           OR l.grant_id = $2::text::uuid AND l.expires_at > clock_timestamp())
    FOR UPDATE OF l SKIP LOCKED
), taken AS (
    UPDATE /*schema*/pgcoherence.lease AS l
    SET token = CASE WHEN free.again THEN l.token ELSE nextval('/*schema*/pgcoherence.lease_token') END,
        grant_id = $2::text::uuid, owner = $3::text, meta = $5::text::jsonb,
        since = CASE WHEN free.again THEN l.since ELSE clock_timestamp() END,
        expires_at = clock_timestamp() + $4::bigint * interval '1 ms',
        queued = l.queued AND /*schema*/pgcoherence.is_queued(l.key, $2::text::uuid), next_id = NULL, next_until = NULL
    FROM free
    WHERE l.key = free.key
    RETURNING l.token
), made AS (
    INSERT INTO /*schema*/pgcoherence.lease (key, token, grant_id, owner, meta, expires_at)
    SELECT $1::text, nextval('/*schema*/pgcoherence.lease_token'), $2::text::uuid, $3::text, $5::text::jsonb,
           clock_timestamp() + $4::bigint * interval '1 ms'
    FROM place
    WHERE NOT EXISTS (SELECT FROM /*schema*/pgcoherence.lease WHERE key = $1::text)
    ON CONFLICT (key) DO NOTHING
    RETURNING token
), gone AS ( -- out of the queue, and who was handed the lease and let his time pass with it
    DELETE FROM /*schema*/pgcoherence.lease_waiter AS w
    USING free
    WHERE free.queued AND w.id IN ($2::text::uuid, free.next_id) AND EXISTS (SELECT FROM taken)
)
SELECT place.database, (extract(epoch FROM place.server) * 1000000)::bigint AS server_us, place.relation::bigint,
       coalesce((SELECT token FROM taken), (SELECT token FROM made)) AS granted,
       l.token, l.owner, l.expires_at > clock_timestamp() AS held, l.expires_at <= clock_timestamp()
       AND (NOT l.queued AND l.next_id IS NULL
            OR /*schema*/pgcoherence.may_take(l.key, $2::text::uuid, $6::bigint * interval '1 ms', l.next_id, l.next_until)) AS turn,
       (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM CASE WHEN isfinite(l.expires_at) THEN l.expires_at - clock_timestamp() END) * 1000)::bigint AS remaining_ms,
       l.meta::text
FROM (VALUES (true)) AS always (one)
     LEFT JOIN place ON true
     LEFT JOIN /*schema*/pgcoherence.lease AS l ON l.key = $1::text
