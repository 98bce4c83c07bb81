-- A login of a user who has no row shares these locks, the end of all sessions of all users and the deletion of the user
-- have them alone: whichever comes second sees what the first has done. $2 empty: all users.
SELECT CASE WHEN $2::text = 'end all' THEN pg_advisory_xact_lock(7303016) END,
    CASE WHEN $2::text = 'forget' THEN pg_advisory_xact_lock(hashtextextended($1::text, 7303016)) END,
    CASE WHEN $2::text = 'login' THEN pg_advisory_xact_lock_shared(7303016) END,
    CASE WHEN $2::text = 'login' THEN pg_advisory_xact_lock_shared(hashtextextended($1::text, 7303016)) END
