-- The event log and what goes with it. Nothing here is business data: every table can be dropped and made anew at any
-- time, at the price of one reset of all caches.

-- Recent invalidations, written in the writer's own transaction.
-- UNLOGGED, because it need not survive a crash: the epoch below goes with it, and a new epoch resets everybody. Less
-- WAL keeps publishing cheap.
-- No identity column: (xid, n) identifies an event. n counts from 0 in a transaction of the library, is negative for
-- events staged in somebody else's transaction, and null for writers that know nothing of us; those have no identity
-- and are announced by the sweep.
-- No constraint on topic: it costs each writer 6 µs, and one that is too long reaches nobody (invalidate checks it).
CREATE UNLOGGED TABLE /*schema*/pgcoherence.event (
    xid    xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    n      integer,
    whole  boolean     NOT NULL DEFAULT false,
    origin uuid,
    topic  text        NOT NULL,
    keys   text[]      NOT NULL DEFAULT '{}'
) WITH (
    -- Rows live for minutes and are deleted in batches: clean up often and let nobody wait for statistics.
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_cost_delay = 0
);

-- The only access path of catch-up, sweep and prune: all ask by transaction.
CREATE INDEX event_xid ON /*schema*/pgcoherence.event (xid);

-- The identity of this log's life. UNLOGGED on purpose: it vanishes together with the log, in a crash or on a promoted
-- standby, and whoever finds none makes a new one.
CREATE UNLOGGED TABLE /*schema*/pgcoherence.epoch (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    id        uuid        NOT NULL DEFAULT gen_random_uuid(),
    -- Signs notification payloads. 256 random bits; never leaves the database but to pods.
    secret    bytea       NOT NULL DEFAULT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')),
    born      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Events that this snapshot sees may have been deleted.
    pruned_to pg_snapshot,
    -- Prepared transactions that were open at birth: they survived a crash that their events did not.
    prepared  xid[]       NOT NULL DEFAULT '{}'
);

-- Who runs, how fresh, how far. Logged: a beat must not succeed where a write could not, as on an isolated primary that
-- waits for its synchronous standby.
CREATE TABLE /*schema*/pgcoherence.pod (
    id       uuid        PRIMARY KEY,
    name     text        NOT NULL,
    started  timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat     bigint      NOT NULL DEFAULT 0,
    beat_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    epoch    text        NOT NULL DEFAULT '',
    -- Position: the stamp of the snapshot up to which the pod has applied everything; xmax 0 for none.
    pos_xmax xid8        NOT NULL DEFAULT '0',
    pos_n    bigint      NOT NULL DEFAULT 0,
    info     jsonb       NOT NULL DEFAULT '{}'
) WITH (
    fillfactor = 50, -- own-row updates only, no index but the key: HOT
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_scale_factor = 0.0
);

-- One row for the whole cluster of pods.
CREATE TABLE /*schema*/pgcoherence.setting (
    one       boolean  PRIMARY KEY DEFAULT true CHECK (one),
    -- How long a pod can at most go on trusting its cache after its last beat.
    pod_lease interval NOT NULL DEFAULT interval '5 seconds' CHECK (pod_lease >= interval '100 milliseconds')
);
INSERT INTO /*schema*/pgcoherence.setting DEFAULT VALUES;

-- identity names this log's life: the epoch row, the server, its timeline (a promotion), the database (a copy), the
-- log's file (TRUNCATE, VACUUM FULL, a restored dump), and how many of the transactions that were prepared at the
-- epoch's birth have ended (their events were lost in the crash, so their end must reset everybody).
-- Null if there is no epoch. A part that this server does not let us read is '-': other parts stand in for it.
-- plpgsql for its exception blocks; called once per beat and difference, never per event. PARALLEL UNSAFE, because a
-- block begins a subtransaction and a statement with a parallel plan cannot have one, not even in its leader.
CREATE FUNCTION /*schema*/pgcoherence.identity() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
AS $$
DECLARE
    epoch_id uuid;
    waiting  xid[];
    ended    bigint := 0;
    server   text;
    timeline text;
BEGIN
    SELECT id, prepared INTO epoch_id, waiting FROM /*schema*/pgcoherence.epoch;
    IF epoch_id IS NULL THEN
        RETURN NULL;
    END IF;
    IF cardinality(waiting) > 0 THEN
        SELECT count(*) INTO ended FROM unnest(waiting) AS w (xid)
        WHERE NOT EXISTS (SELECT FROM pg_prepared_xact() AS p WHERE p.transaction = w.xid);
    END IF;
    BEGIN
        SELECT system_identifier::text INTO server FROM pg_control_system();
    EXCEPTION WHEN OTHERS THEN
        server := '-';
    END;
    BEGIN
        -- The control file learns of a promotion late; the name of the current WAL file tells at once.
        timeline := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
    EXCEPTION WHEN OTHERS THEN
        timeline := '-';
    END;
    RETURN concat_ws('/', epoch_id, server, timeline,
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        pg_relation_filenode('/*schema*/pgcoherence.event'::regclass), ended);
END
$$;

-- stage is what the functions below have in common. A bad topic or key is an error and not an event that reaches nobody.
CREATE FUNCTION /*schema*/pgcoherence.stage(topic text, keys text[], whole boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF topic IS NULL OR octet_length(topic) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'pgcoherence: topic %: want 1 to 200 bytes', quote_nullable(left(topic, 50)) USING ERRCODE = '22023';
    END IF;
    IF EXISTS (SELECT FROM unnest(keys) AS k WHERE octet_length(k) > 1024) THEN
        RAISE EXCEPTION 'pgcoherence: topic %: a key has more than 1024 bytes', topic USING ERRCODE = '22023';
    END IF;
    INSERT INTO /*schema*/pgcoherence.event (topic, keys, whole) VALUES (stage.topic, coalesce(stage.keys, '{}'), stage.whole);
END
$$;

-- invalidate is for writers without the library: psql, triggers, other languages. Call it in the transaction that
-- changes the data; the pods hear of it within a sweep interval after the commit. With no keys nothing happens.
CREATE FUNCTION /*schema*/pgcoherence.invalidate(topic text, VARIADIC keys text[]) RETURNS void
    LANGUAGE sql VOLATILE
AS $$
    SELECT /*schema*/pgcoherence.stage($1, array_agg(k), false) FROM unnest($2) AS k WHERE k IS NOT NULL HAVING count(*) > 0
$$;

-- invalidate_all is the same for every key of a topic.
CREATE FUNCTION /*schema*/pgcoherence.invalidate_all(topic text) RETURNS void
    LANGUAGE sql VOLATILE
AS $$
    SELECT /*schema*/pgcoherence.stage($1, NULL, true)
$$;
