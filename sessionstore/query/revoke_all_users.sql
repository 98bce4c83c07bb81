UPDATE /*schema*/pgcoherence.session_user
SET gen = /*schema*/pgcoherence.next_generation(), ended_at = clock_timestamp(), ended_by = nullif($1::text, '')
