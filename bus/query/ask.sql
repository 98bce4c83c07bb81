-- Puts a question, which pods learn of by an event that names it. $1 id, $2 question.
INSERT INTO /*schema*/pgcoherence.pod_question (id, question) VALUES ($1::text::uuid, $2)
