-- A login of a user who has no row shares these locks (session_enter), the end of all sessions of all users and the
-- deletion of the user have them alone: whichever comes second sees what the first has done. $1 empty: all users.
SELECT CASE WHEN $1::text = '' THEN pg_advisory_xact_lock(7303016)
    ELSE pg_advisory_xact_lock(hashtextextended($1::text, 7303016)) END, current_setting('transaction_isolation')
