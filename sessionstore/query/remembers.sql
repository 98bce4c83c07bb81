SELECT EXISTS (SELECT FROM /*schema*/pgcoherence.one_time WHERE hash = $1 AND expires_at > clock_timestamp())
