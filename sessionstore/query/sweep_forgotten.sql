-- No login takes a week.
DELETE FROM /*schema*/pgcoherence.session_forgotten WHERE user_hash IN (
    SELECT f.user_hash FROM /*schema*/pgcoherence.session_forgotten AS f
    WHERE f.at < (SELECT clock_timestamp() - interval '7 days')
    ORDER BY f.at LIMIT $1
)
