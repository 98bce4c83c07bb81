-- $1 key, $2 waiter's id, $3 owner, $4 process, $5 channel of hints or null, $6 what a hint begins with. No row: there is no
-- such lease.
SELECT e.free, (extract(epoch FROM e.taken_for) * 1000)::bigint
FROM /*schema*/pgcoherence.lease_enqueue($1::text, $2::text::uuid, $3::text, $4::text::uuid, $5::text, $6::text) AS e
