-- Sends payloads, in order, unless this statement's own snapshot does not see one of the transactions they speak of:
-- an announcement must never come before its event is visible. $1 channel, $2 payloads, $3 transactions.
WITH hidden AS MATERIALIZED (
    SELECT x FROM unnest($3::text[]::xid8[]) AS x WHERE NOT pg_visible_in_snapshot(x, pg_current_snapshot())
), sent AS MATERIALIZED (
    SELECT pg_notify($1, payload) FROM unnest($2::text[]) WITH ORDINALITY AS p (payload, i)
    WHERE NOT EXISTS (SELECT FROM hidden) ORDER BY i
)
SELECT array(SELECT x::text FROM hidden) AS hidden, (SELECT count(*) FROM sent) AS sent
