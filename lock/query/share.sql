-- share_try, with what it returns in the form that the program reads.
-- $1 key, $2 grant id, $3 owner, $4 TTL in ms, $5 metadata or null, $6 ms that a waiter counts as alive, $7 ms that the next one
-- has to claim, $8 holders at most or 0, $9 channel of hints or null, $10 what a hint begins with, $11 session that the share
-- ends with and $12 ms of grace, as in renew.sql.
SELECT t.placed, (extract(epoch FROM t.server) * 1000000)::bigint AS server_us, t.relation::bigint, t.granted,
       t.token, t.owner, t.held, t.turn,
       (extract(epoch FROM clock_timestamp() - t.since) * 1000)::bigint AS since_ms,
       (extract(epoch FROM CASE WHEN isfinite(t.expires_at) THEN t.expires_at - clock_timestamp() END) * 1000)::bigint AS remaining_ms,
       t.meta::text, t.max_group, t.heir::text
FROM /*schema*/pgcoherence.share_try($1::text, $2::text::uuid, $3::text, $4::bigint * interval '1 ms', $5::text::jsonb,
                                     $6::bigint * interval '1 ms', $7::bigint * interval '1 ms', $8::integer, $9::text, $10::text,
                                     $11::bigint, $12::bigint * interval '1 ms') AS t
