-- $1 number in the transaction, $2 origin, $3 topic, $4 keys, $5 whole topic.
INSERT INTO /*schema*/pgcoherence.event (n, origin, topic, keys, whole) VALUES ($1, $2, $3, $4, $5) RETURNING xid
