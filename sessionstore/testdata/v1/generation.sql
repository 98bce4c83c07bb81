-- No row: nobody has logged in as this user yet, generation 0.
SELECT coalesce((SELECT gen FROM /*schema*/pgcoherence.session_user WHERE user_id = $1), 0)
