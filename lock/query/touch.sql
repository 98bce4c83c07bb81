-- The beat of all waiters of a process: keeps them alive, keeps what they were handed theirs, and answers for each of
-- them whether it would be its turn if the lease were free, and in how many ms the lease gets free, or what another was
-- handed lapses, if nothing else happens. A waiter not answered for was taken for dead and has to enter the queue anew.
-- $1 ids, $2 ms that a waiter counts as alive, $3 ms that it has to claim what it was handed.
WITH beat AS (
    UPDATE /*schema*/pgcoherence.lease_waiter SET seen_at = clock_timestamp()
    WHERE id = ANY ($1::text[]::uuid[])
    RETURNING id, key
), kept AS (
    UPDATE /*schema*/pgcoherence.lease AS l SET next_until = clock_timestamp() + $3::bigint * interval '1 ms'
    FROM beat
    WHERE l.key = beat.key AND l.next_id = beat.id AND l.next_until > clock_timestamp()
)
SELECT beat.id::text, coalesce(l.key IS NULL OR l.next_id = beat.id
                               OR /*schema*/pgcoherence.next_waiter(beat.key, $2::bigint * interval '1 ms', l.next_id) = beat.id, false) AS turn,
       coalesce(greatest(0, ceil(extract(epoch FROM greatest(
           CASE WHEN isfinite(l.expires_at) THEN l.expires_at - clock_timestamp() END,
           CASE WHEN l.next_id <> beat.id THEN l.next_until - clock_timestamp() END)) * 1000)), 0)::bigint AS free_in_ms
FROM beat LEFT JOIN /*schema*/pgcoherence.lease AS l ON l.key = beat.key
