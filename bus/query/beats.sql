-- The beats of all pods, and for how long each goes on trusting its caches.
SELECT id::text, beat, trusts_ms FROM /*schema*/pgcoherence.pod
