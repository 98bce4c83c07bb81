-- Takes a question back, with its replies. $1 id.
WITH gone AS (DELETE FROM /*schema*/pgcoherence.pod_question WHERE id = $1::text::uuid)
DELETE FROM /*schema*/pgcoherence.pod_reply WHERE question = $1::text::uuid
