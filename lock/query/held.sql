-- What became of leases that renew.sql did not renew. $1 keys, $2 tokens. Returns those that the database still knows by their
-- token: whether they are held, or have expired before anybody took them or gave them up.
SELECT l.token, l.expires_at > clock_timestamp() AS ours, isfinite(l.expires_at) AS expired
FROM unnest($1::text[], $2::bigint[]) AS w (key, token)
     JOIN /*schema*/pgcoherence.lease AS l ON l.key = w.key AND l.token = w.token
