-- lease_reap for keys that others wait for here. $1 keys, $2 ms that a waiter counts as alive, $3 ms that the next one has to
-- claim, $4 channel of hints or null, $5 what a hint begins with. Returns who was handed what, and in how many ms to look
-- again, null for never.
WITH looked AS MATERIALIZED (
    SELECT /*schema*/pgcoherence.lease_reap(k.key, $2::bigint * interval '1 ms', $3::bigint * interval '1 ms', $4::text, $5::text) AS g
    FROM unnest($1::text[]) AS k (key)
)
SELECT (looked.g).heir::text, (extract(epoch FROM (looked.g).look_in) * 1000)::bigint
FROM looked
