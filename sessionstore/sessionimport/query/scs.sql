-- A page of the table of scs' pgxstore (and postgresstore). What has expired is left where it is.
SELECT token, data FROM /*table*/sessions WHERE token > $1 AND expiry > now() ORDER BY token LIMIT $2
