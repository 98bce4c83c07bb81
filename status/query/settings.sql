-- Settings by name as this connection has them, and where each comes from. A number is in the setting's own unit. Settings
-- that this server does not have are missing. $1 names.
SELECT name, setting, coalesce(unit, ''), source FROM pg_settings WHERE name = ANY ($1)
