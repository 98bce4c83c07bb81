-- held.sql for shares. $1 keys, $2 tokens.
SELECT s.token, s.expires_at > clock_timestamp() AND l.group_token = l.token AND l.token < s.token AND l.expires_at > clock_timestamp() AS ours,
       isfinite(s.expires_at) AND l.group_token = l.token AND l.token < s.token AND isfinite(l.expires_at) AS expired
FROM unnest($1::text[], $2::bigint[]) AS w (key, token)
     JOIN /*schema*/pgcoherence.lease_share AS s ON s.key = w.key AND s.token = w.token
     JOIN /*schema*/pgcoherence.lease AS l ON l.key = w.key
