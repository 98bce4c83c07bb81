-- Takes several leases or none, as acquire.sql takes one, and without waiting for any row, so that two of these cannot
-- wait for each other. Rows that do not exist are made by make_free.sql before. Returns one row for each key, in any
-- order.
-- $1 keys, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null, $6 ms that a waiter counts as alive, $7 session that
-- the leases end with and $8 ms of grace, as in renew.sql.
WITH place AS MATERIALIZED (
    SELECT p.placed AS database FROM /*schema*/pgcoherence.incarnation_here() AS p
), free AS MATERIALIZED (
    SELECT l.key, l.rev, l.grant_id = $2::text::uuid AND l.expires_at > clock_timestamp() AS again
    FROM place
         CROSS JOIN unnest($1::text[]) AS k (key)
         CROSS JOIN LATERAL (
             SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = k.key ORDER BY m.rev DESC LIMIT 1
         ) AS newest
         JOIN /*schema*/pgcoherence.lease AS l ON l.key || '' = k.key AND l.rev >= newest.rev
    WHERE (l.expires_at <= clock_timestamp()
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
        queued = l.queued AND /*schema*/pgcoherence.is_queued(l.key, $2::text::uuid), next_id = NULL, next_until = NULL,
        session_grant = CASE WHEN $7::bigint IS NOT NULL THEN $2::text::uuid END, grace = $8::bigint * interval '1 ms', gone_at = NULL,
        session = CASE WHEN free.again AND l.session_grant = $2::text::uuid AND abs(l.session) > abs($7::bigint) THEN l.session ELSE $7::bigint END,
        rev = l.rev + (random() < 0.015625)::integer
    FROM free
    WHERE l.key || '' = free.key AND l.rev >= free.rev AND (SELECT count(*) FROM free) = cardinality($1::text[])
    RETURNING l.key, l.token
)
SELECT taken.key, (SELECT database FROM place) AS placed, taken.token AS granted, NULL::bigint AS token, NULL::text AS owner,
       NULL::boolean AS held, NULL::boolean AS turn, NULL::bigint AS since_ms, NULL::bigint AS remaining_ms, NULL::text AS meta,
       NULL::integer AS max_group
FROM taken
UNION ALL
SELECT k.key, (SELECT database FROM place), NULL, l.token, l.owner, l.expires_at > clock_timestamp(), l.expires_at <= clock_timestamp()
       AND (NOT l.queued AND l.next_id IS NULL
            OR /*schema*/pgcoherence.may_take(l.key, $2::text::uuid, $6::bigint * interval '1 ms', l.next_id, l.next_until)),
       (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint,
       (extract(epoch FROM CASE WHEN isfinite(l.expires_at) THEN l.expires_at - clock_timestamp() END) * 1000)::bigint,
       l.meta::text, CASE WHEN l.group_token = l.token THEN l.group_limit END
FROM unnest($1::text[]) AS k (key)
     LEFT JOIN LATERAL (
         SELECT r.* FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = k.key ORDER BY r.rev DESC LIMIT 1
     ) AS l ON true
WHERE NOT EXISTS (SELECT FROM taken)
