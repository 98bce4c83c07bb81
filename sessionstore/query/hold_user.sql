-- A session is about to leave this user. The end of all of the user's sessions, and the user's deletion, come before or
-- after, and not in between: else they would leave alone what is somebody else's when they are done.
SELECT gen FROM /*schema*/pgcoherence.session_user WHERE user_id = $1 FOR SHARE
