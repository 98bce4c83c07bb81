-- $1 keys, $2 ids of waiters or grants, $3 ms that a waiter counts as alive, $4 ms that the next one has to claim, $5 channel of
-- hints or null, $6 what a hint begins with.
SELECT q.heir::text
FROM /*schema*/pgcoherence.leave_queues($1::text[], $2::text[]::uuid[], $3::bigint * interval '1 ms', $4::bigint * interval '1 ms',
                                        $5::text, $6::text) AS q
WHERE q.heir IS NOT NULL
