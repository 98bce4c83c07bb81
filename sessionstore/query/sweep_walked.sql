UPDATE /*schema*/pgcoherence.session_sweep SET walked_to = $1
