-- $1 key, $2 holders at most, $3 ms that a waiter counts as alive, $4 ms that the next one has to claim, $5 channel of hints or
-- null, $6 what a hint begins with. No row: nobody holds the semaphore.
SELECT g.heir::text
FROM /*schema*/pgcoherence.share_resize($1::text, $2::integer, $3::bigint * interval '1 ms', $4::bigint * interval '1 ms',
                                        $5::text, $6::text) AS g
