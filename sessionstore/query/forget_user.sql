-- The trigger notes that the user is gone, so that a login which began before finds that out.
DELETE FROM /*schema*/pgcoherence.session_user WHERE user_id = $1
RETURNING tag::text
