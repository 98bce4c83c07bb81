-- $1 key, $2 waiter's or grant's id, $3 ms that a waiter counts as alive, $4 ms that the next one has to claim.
SELECT /*schema*/pgcoherence.leave_queue($1::text, $2::text::uuid, $3::bigint * interval '1 ms', $4::bigint * interval '1 ms')::text
