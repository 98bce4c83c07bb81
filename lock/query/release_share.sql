-- release.sql for a share. No row: this token holds none.
-- $1 key, $2 token, $3 minimum hold in ms, $4 ms that a waiter counts as alive, $5 ms that the next one has to claim, $6 channel
-- of hints or null, $7 what a hint begins with.
SELECT g.heir::text
FROM /*schema*/pgcoherence.share_give($1::text, $2::bigint, $3::bigint * interval '1 ms', $4::bigint * interval '1 ms',
                                      $5::bigint * interval '1 ms', $6::text, $7::text) AS g
