-- $1 key, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null, $6 start of the server, $7 database, $8 table, $9
-- session that the lease ends with and $10 ms of grace, as in renew.sql. A null: ask acquire.sql.
SELECT /*schema*/pgcoherence.lease_claim($1::text, $2::text::uuid, $3::text, $4::bigint * interval '1 ms', $5::text::jsonb,
                                         $6::timestamptz, $7::text, $8::oid, $9::bigint, $10::bigint * interval '1 ms')
