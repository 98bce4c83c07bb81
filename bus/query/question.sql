-- The question of an id, unless the one who put it has given up. $1 id.
SELECT question FROM /*schema*/pgcoherence.pod_question WHERE id = $1::text::uuid AND at > clock_timestamp() - interval '1 minute'
