-- No row: nobody has logged in as this user yet, or not since the user was deleted. The number then says of which time
-- that is known: of the deletion, or of the end of all sessions of all users, whichever came later.
SELECT coalesce(
    (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = $1),
    greatest((SELECT f.gen FROM /*schema*/pgcoherence.session_forgotten AS f WHERE f.user_hash = sha256(convert_to($1, 'UTF8'))),
        (SELECT t.floor FROM /*schema*/pgcoherence.session_state AS t), 0))
