-- What an import notes before it reads anything: this clock, and the number that the end of all sessions of all users changes.
SELECT clock_timestamp(), floor FROM /*schema*/pgcoherence.session_state
