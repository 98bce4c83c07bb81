UPDATE /*schema*/pgcoherence.session_user AS u SET unswept = false
FROM unnest($1::text[], $2::bigint[]) AS t (user_id, gen)
WHERE u.user_id = t.user_id AND u.gen = t.gen
