-- $1 key, $2 waiter's id, $3 owner, $4 process, $5 ms until it gives up or null, $6 channel of hints or null, $7 what a hint
-- begins with, $8 holders at most, 0 for a reader, null for one who wants to be alone. No row: there is no such lease.
SELECT e.free, (extract(epoch FROM e.taken_for) * 1000)::bigint
FROM /*schema*/pgcoherence.lease_enqueue($1::text, $2::text::uuid, $3::text, $4::text::uuid, $5::bigint * interval '1 ms',
                                         $6::text, $7::text, $8::integer) AS e
