-- Deletes what pods that died have left: questions and replies of more than a minute ago.
WITH gone AS (DELETE FROM /*schema*/pgcoherence.pod_question WHERE at < clock_timestamp() - interval '1 minute')
DELETE FROM /*schema*/pgcoherence.pod_reply WHERE at < clock_timestamp() - interval '1 minute'
