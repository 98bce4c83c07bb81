-- The beat of all waiters of a process: keeps them alive, keeps what they were handed theirs, and returns for each of
-- them whether it would be its turn if the lease were free, and in how many ms the lease gets free, or what another was
-- handed lapses, if nothing else happens; and whether the lease may end before that with its owner's session. A waiter without
-- a row was taken for dead and has to enter the queue again.
-- It waits for no row: who claims a lease locks the lease and then its waiter, this the other way round. A row that
-- somebody has locked is about to change anyway, and is touched the next time. It does not wait for the disk either,
-- because those who claim would wait for it: what a crash undoes is done again by the next beat.
-- $1 ids, $2 ms that a waiter counts as alive, $3 ms that it has to claim what it was handed.
WITH mine AS MATERIALIZED (
    SELECT id, key FROM /*schema*/pgcoherence.lease_waiter
    WHERE id = ANY ($1::text[]::uuid[])
    FOR NO KEY UPDATE SKIP LOCKED
), beat AS (
    UPDATE /*schema*/pgcoherence.lease_waiter AS w SET seen_at = clock_timestamp()
    FROM mine
    WHERE w.id = mine.id
), handed AS MATERIALIZED (
    SELECT l.key, l.rev
    FROM mine
         CROSS JOIN LATERAL (
             SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = mine.key ORDER BY m.rev DESC LIMIT 1
         ) AS newest
         JOIN /*schema*/pgcoherence.lease AS l ON l.key || '' = mine.key AND l.rev >= newest.rev AND l.next_id = mine.id
    WHERE l.next_until > clock_timestamp()
    FOR NO KEY UPDATE OF l SKIP LOCKED
), kept AS (
    UPDATE /*schema*/pgcoherence.lease AS l SET next_until = clock_timestamp() + $3::bigint * interval '1 ms'
    FROM handed
    WHERE l.key || '' = handed.key AND l.rev >= handed.rev
)
SELECT w.id::text, coalesce(l.key IS NULL OR l.next_id = w.id
                            OR /*schema*/pgcoherence.first_waiter(w.key, l.head, $2::bigint * interval '1 ms', NULL, l.next_id) = w.id, false) AS turn,
       coalesce(greatest(0, ceil(extract(epoch FROM greatest(
           CASE WHEN isfinite(free.at) THEN free.at - clock_timestamp() END,
           CASE WHEN l.next_id <> w.id THEN l.next_until - clock_timestamp() END)) * 1000)), 0)::bigint AS free_in_ms,
       w.key, coalesce(l.session_grant = l.grant_id AND (l.session > 0 OR l.group_token = l.token) AND l.expires_at > clock_timestamp(), false) AS ends_with_session,
       set_config('synchronous_commit', 'off', true)
FROM /*schema*/pgcoherence.lease_waiter AS w
     LEFT JOIN LATERAL (
         SELECT r.* FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = w.key ORDER BY r.rev DESC LIMIT 1
     ) AS l ON true
     LEFT JOIN LATERAL (
         SELECT CASE WHEN w.wants IS NOT NULL AND l.group_token = l.token
                     THEN /*schema*/pgcoherence.share_room_at(w.key, w.wants, l.expires_at, l.group_limit, l.holders) ELSE l.expires_at END AS at
     ) AS free ON true
WHERE w.id = ANY ($1::text[]::uuid[])
