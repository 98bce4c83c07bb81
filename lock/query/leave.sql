-- $1 key, $2 waiter's or grant's id, $3 ms that a waiter counts as alive, $4 ms that the next one has to claim, $5 channel of
-- hints or null, $6 what a hint begins with.
SELECT heir::text, CASE WHEN heir IS NOT NULL AND $5::text IS NOT NULL THEN pg_notify($5::text, $6::text || heir)::text END
FROM /*schema*/pgcoherence.leave_queue($1::text, $2::text::uuid, $3::bigint * interval '1 ms', $4::bigint * interval '1 ms') AS heir
