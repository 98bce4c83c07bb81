-- The replies to a question that are not known yet. $1 question, $2 pods whose replies are known.
SELECT pod::text, reply FROM /*schema*/pgcoherence.pod_reply
WHERE question = $1::text::uuid AND pod <> ALL ($2::text[]::uuid[])
