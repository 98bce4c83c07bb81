-- Makes the rows of keys that were never taken, as free ones. In the order of keys: two of these wait for each other's
-- new rows, and in one order that cannot become a circle. $1 keys.
INSERT INTO /*schema*/pgcoherence.lease (key, token, grant_id, expires_at)
SELECT k, nextval('/*schema*/pgcoherence.lease_token'), '00000000-0000-0000-0000-000000000000', '-infinity'
FROM unnest($1::text[]) AS k
WHERE NOT EXISTS (SELECT FROM /*schema*/pgcoherence.lease WHERE key = k)
ORDER BY k COLLATE "C"
ON CONFLICT (key) DO NOTHING
