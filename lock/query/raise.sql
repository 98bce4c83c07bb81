-- Begins a new incarnation where the row does not describe this server, or, by hand, in any case. The second to try
-- waits for the first and then finds nothing to do. The sequence may be ahead of the row, if one that raised it failed to
-- commit, or behind, if it went back; it never goes back by this. $1 by hand, $2 reason.
UPDATE /*schema*/pgcoherence.incarnation
SET n = greatest(n, (SELECT last_value >> 48 FROM /*schema*/pgcoherence.lease_token)) + 1, server = pg_postmaster_start_time(),
    database = current_database(), relation = '/*schema*/pgcoherence.lease'::regclass, raised_at = clock_timestamp(), reason = $2::text
WHERE $1::boolean OR server <> pg_postmaster_start_time() OR database <> current_database()
   OR relation <> '/*schema*/pgcoherence.lease'::regclass
RETURNING (setval('/*schema*/pgcoherence.lease_token', n::bigint << 48) >> 48)::integer
