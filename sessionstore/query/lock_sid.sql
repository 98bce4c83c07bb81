-- Logins with a sid share this lock, its logout has it alone: whichever comes second sees what the first has done.
SELECT CASE WHEN $3::boolean
    THEN pg_advisory_xact_lock(hashtextextended($1::text || chr(10) || $2::text, 7303014))
    ELSE pg_advisory_xact_lock_shared(hashtextextended($1::text || chr(10) || $2::text, 7303014)) END
