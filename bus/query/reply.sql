-- The reply of a pod. A question that has been taken back gets none, so that nothing is left over. $1 question, $2 pod,
-- $3 reply.
INSERT INTO /*schema*/pgcoherence.pod_reply (question, pod, reply)
SELECT id, $2::text::uuid, $3 FROM /*schema*/pgcoherence.pod_question WHERE id = $1::text::uuid
ON CONFLICT (question, pod) DO NOTHING
