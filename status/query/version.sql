-- The newest version of a component. $1 name.
SELECT coalesce(max(version), 0) FROM /*schema*/pgcoherence.migration WHERE component = $1
