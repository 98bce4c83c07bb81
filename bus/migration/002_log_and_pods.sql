-- Pods that are gone, for people who want to know what happened; nothing of the protocol reads it. Triggers keep it, so
-- that pods of the previous version are in it as well.
CREATE TABLE /*schema*/pgcoherence.pod_departure (
    id      uuid        PRIMARY KEY,
    name    text        NOT NULL,
    started timestamptz NOT NULL,
    beat_at timestamptz NOT NULL,
    gone_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The row was taken away a pod lease after its last beat, and not by the pod itself.
    lost    boolean     NOT NULL,
    info    jsonb       NOT NULL
);

-- SECURITY DEFINER: a role that may delete a pod's row needs no right on the table of departures. An hour's worth is
-- kept, and of that the newest thousand: pods that crash in a loop must not fill a disk.
CREATE FUNCTION /*schema*/pgcoherence.note_departure() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM /*schema*/pgcoherence.pod_departure
    WHERE gone_at < clock_timestamp() - interval '1 hour'
       OR gone_at < (SELECT gone_at FROM /*schema*/pgcoherence.pod_departure ORDER BY gone_at DESC OFFSET 999 LIMIT 1);
    INSERT INTO /*schema*/pgcoherence.pod_departure AS d (id, name, started, beat_at, lost, info)
    SELECT OLD.id, OLD.name, OLD.started, OLD.beat_at, OLD.beat_at <= clock_timestamp() - pod_lease * 0.9, OLD.info
    FROM /*schema*/pgcoherence.setting
    ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, gone_at = clock_timestamp(), lost = excluded.lost, info = excluded.info;
    RETURN NULL;
END
$$;

-- A pod that comes back, as after a pause, has not started anew.
CREATE FUNCTION /*schema*/pgcoherence.note_return() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began timestamptz;
BEGIN
    DELETE FROM /*schema*/pgcoherence.pod_departure WHERE id = NEW.id RETURNING started INTO began;
    NEW.started := coalesce(began, NEW.started);
    RETURN NEW;
END
$$;

REVOKE ALL ON FUNCTION /*schema*/pgcoherence.note_departure(), /*schema*/pgcoherence.note_return() FROM PUBLIC;

CREATE TRIGGER pod_departed AFTER DELETE ON /*schema*/pgcoherence.pod
    FOR EACH ROW EXECUTE FUNCTION /*schema*/pgcoherence.note_departure();
CREATE TRIGGER pod_returned BEFORE INSERT ON /*schema*/pgcoherence.pod
    FOR EACH ROW EXECUTE FUNCTION /*schema*/pgcoherence.note_return();

-- A log says where it was born: a dump, a template or a copied cluster takes the rows of unlogged tables along, and
-- transaction ids and snapshots mean nothing elsewhere.
CREATE FUNCTION /*schema*/pgcoherence.server_id() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
AS $$
BEGIN
    RETURN (SELECT system_identifier::text FROM pg_control_system());
EXCEPTION WHEN OTHERS THEN
    RETURN '-'; -- not readable here: the database and the transaction ids have to do
END
$$;

CREATE FUNCTION /*schema*/pgcoherence.database_id() RETURNS oid
    LANGUAGE sql STABLE
AS $$ SELECT oid FROM pg_database WHERE datname = current_database() $$;

-- The defaults are for pods of the previous version, which do not name the columns.
ALTER TABLE /*schema*/pgcoherence.epoch
    ADD COLUMN server   text NOT NULL DEFAULT /*schema*/pgcoherence.server_id(),
    ADD COLUMN database oid  NOT NULL DEFAULT /*schema*/pgcoherence.database_id(),
    -- What this snapshot sees has been deleted, but for what pruned_to does not see: the next prune goes on from here.
    ADD COLUMN pruned   pg_snapshot,
    -- Snapshots of the last Retention, and how old each is at least: what a prune can go up to. They are here and not in
    -- one pod's memory, so that pruning needs no pod that lives for as long. Ages are those of the pods' own clocks, each
    -- going on from what the one before had written.
    ADD COLUMN kept     pg_snapshot[] NOT NULL DEFAULT '{}',
    ADD COLUMN kept_ms  bigint[]      NOT NULL DEFAULT '{}';

ALTER TABLE /*schema*/pgcoherence.pod
    -- For how long the pod had watched its epoch at its last beat. The epoch is at least that old, whoever asks.
    ADD COLUMN watched_ms bigint NOT NULL DEFAULT 0,
    -- For how long the pod goes on trusting its caches at most; null for a pod of the previous version.
    ADD COLUMN trusts_ms  bigint,
    -- The pod lease that its confirmations wait for; null for a pod of the previous version.
    ADD COLUMN lease_ms   bigint;

-- A page for each pod: under an old snapshot no version can be removed, and in shared pages every update would leave the
-- page and add an index entry. With a page of its own one update in forty does.
ALTER TABLE /*schema*/pgcoherence.pod SET (fillfactor = 10);

ALTER TABLE /*schema*/pgcoherence.setting
    -- The pod lease to be, while set_pod_lease waits until all pods know it.
    ADD COLUMN next_pod_lease interval;

-- is_foreign reports whether the log holds what cannot have been written here: it was born in another cluster or
-- database, or it was pruned up to a snapshot from the future. Rows of transactions that have not begun say the same only
-- where it is not known to be from here: a writer can put any number into a row, and then that row alone is worthless.
CREATE FUNCTION /*schema*/pgcoherence.is_foreign() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE
AS $$
    SELECT EXISTS (
        SELECT FROM /*schema*/pgcoherence.epoch
        WHERE server NOT IN ('-', /*schema*/pgcoherence.server_id()) AND /*schema*/pgcoherence.server_id() <> '-'
           OR database <> /*schema*/pgcoherence.database_id()
           OR pg_snapshot_xmax(pruned_to) > pg_snapshot_xmax(pg_current_snapshot())
           OR pg_snapshot_xmax(pruned) > pg_snapshot_xmax(pg_current_snapshot())
    ) OR EXISTS (
        SELECT FROM /*schema*/pgcoherence.event WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
    ) AND NOT EXISTS (
        SELECT FROM /*schema*/pgcoherence.epoch WHERE server <> '-' AND server = /*schema*/pgcoherence.server_id()
    )
$$;

-- identity, as before, and null for a log that is not from here as well: begin_epoch then empties it.
-- On the index whatever the statistics say: what it looks for beyond the newest transaction is not there.
CREATE OR REPLACE FUNCTION /*schema*/pgcoherence.identity() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    e        record;
    server   text := /*schema*/pgcoherence.server_id();
    here     oid := /*schema*/pgcoherence.database_id();
    now_xmax xid8 := pg_snapshot_xmax(pg_current_snapshot());
    ended    bigint := 0;
    timeline text;
BEGIN
    SELECT id, prepared, epoch.server, database, pg_snapshot_xmax(pruned_to) AS to_xmax, pg_snapshot_xmax(pruned) AS done_xmax
    INTO e FROM /*schema*/pgcoherence.epoch;
    IF NOT FOUND OR e.server <> '-' AND server <> '-' AND e.server <> server OR e.database <> here
        OR coalesce(e.to_xmax > now_xmax, false) OR coalesce(e.done_xmax > now_xmax, false)
        OR (e.server = '-' OR server = '-') AND EXISTS (SELECT FROM /*schema*/pgcoherence.event WHERE xid >= now_xmax) THEN
        RETURN NULL;
    END IF;
    IF cardinality(e.prepared) > 0 THEN
        SELECT count(*) INTO ended FROM unnest(e.prepared) AS w (xid)
        WHERE NOT EXISTS (SELECT FROM pg_prepared_xact() AS p WHERE p.transaction = w.xid);
    END IF;
    BEGIN
        -- The control file learns of a promotion late; the name of the current WAL file tells at once.
        timeline := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
    EXCEPTION WHEN OTHERS THEN
        timeline := '-';
    END;
    RETURN concat_ws('/', e.id, server, timeline, here, pg_relation_filenode('/*schema*/pgcoherence.event'::regclass), ended);
END
$$;

-- begin_epoch makes an epoch where there is none, and first empties a log that is not from here. It returns false if the
-- log is not empty yet: call it again. Any role may call it, since it changes nothing that is in order.
-- TRUNCATE where nobody is in the way, else DELETE in bits, so that no statement takes long.
CREATE FUNCTION /*schema*/pgcoherence.begin_epoch() RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '300ms'
AS $$
BEGIN
    LOCK TABLE /*schema*/pgcoherence.epoch IN SHARE ROW EXCLUSIVE MODE; -- one at a time
    IF /*schema*/pgcoherence.is_foreign() THEN
        BEGIN
            TRUNCATE /*schema*/pgcoherence.event;
        EXCEPTION WHEN lock_not_available THEN
            DELETE FROM /*schema*/pgcoherence.event
            WHERE ctid = ANY (array(SELECT ctid FROM /*schema*/pgcoherence.event LIMIT 20000));
            IF EXISTS (SELECT FROM /*schema*/pgcoherence.event) THEN
                RETURN false;
            END IF;
        END;
        DELETE FROM /*schema*/pgcoherence.epoch;
    END IF;
    INSERT INTO /*schema*/pgcoherence.epoch (prepared)
    SELECT coalesce(array_agg(transaction), '{}') FROM pg_prepared_xact() WHERE dbid = /*schema*/pgcoherence.database_id()
    ON CONFLICT (one) DO NOTHING;
    RETURN true;
END
$$;

-- stage refuses what no pod could read as it was meant. Whoever inserts into the table itself is not stopped by that: what
-- a pod cannot read then counts as the whole topic.
CREATE OR REPLACE FUNCTION /*schema*/pgcoherence.stage(topic text, keys text[], whole boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF topic IS NULL OR octet_length(topic) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'pgcoherence: topic %: want 1 to 200 bytes', quote_nullable(left(topic, 50)) USING ERRCODE = '22023';
    END IF;
    IF whole IS NULL THEN
        RAISE EXCEPTION 'pgcoherence: topic %: whole is null', topic USING ERRCODE = '22023';
    END IF;
    IF array_ndims(keys) > 1 THEN
        RAISE EXCEPTION 'pgcoherence: topic %: keys has % dimensions, want 1', topic, array_ndims(keys) USING ERRCODE = '22023';
    END IF;
    IF EXISTS (SELECT FROM unnest(keys) AS k WHERE k IS NULL) THEN
        RAISE EXCEPTION 'pgcoherence: topic %: a key is null', topic USING ERRCODE = '22023';
    END IF;
    IF EXISTS (SELECT FROM unnest(keys) AS k WHERE octet_length(k) > 1024) THEN
        RAISE EXCEPTION 'pgcoherence: topic %: a key has more than 1024 bytes', topic USING ERRCODE = '22023';
    END IF;
    -- More keys than this are cheaper as the whole topic, for whoever reads the log.
    whole := whole OR cardinality(keys) > 10000;
    INSERT INTO /*schema*/pgcoherence.event (topic, keys, whole)
    VALUES (stage.topic, CASE WHEN stage.whole THEN '{}' ELSE coalesce(stage.keys, '{}') END, stage.whole);
END
$$;

-- pod_lease is the lease that a confirmation has to wait for: that of the setting or the one that it is about to become,
-- and never less than what a pod that is registered needs. Whatever the tables hold, it is 100 ms to an hour.
CREATE FUNCTION /*schema*/pgcoherence.pod_lease_ms() RETURNS bigint
    LANGUAGE sql STABLE
AS $$
    SELECT ceil(1000 * extract(epoch FROM greatest(interval '100 milliseconds', least(interval '1 hour',
        coalesce((SELECT greatest(pod_lease, next_pod_lease) FROM /*schema*/pgcoherence.setting), interval '5 seconds')))))::bigint
$$;

-- set_pod_lease changes the pod lease while pods run: CALL pgcoherence.set_pod_lease('10 seconds'), outside of a
-- transaction. A longer one counts for confirmations at once, and allows longer trust only after every pod knows it and
-- the confirmations that did not are over. A shorter one is refused while a pod trusts its caches for more than 0.9 of it.
CREATE PROCEDURE /*schema*/pgcoherence.set_pod_lease(lease interval, patience interval DEFAULT interval '1 minute')
    LANGUAGE plpgsql
AS $$
DECLARE
    was     interval;
    give_up timestamptz := clock_timestamp() + patience;
    names   text;
BEGIN
    IF lease IS NULL OR lease < interval '100 milliseconds' OR lease > interval '1 hour' THEN
        RAISE EXCEPTION 'pgcoherence: pod lease %: want 100 milliseconds to 1 hour', lease USING ERRCODE = '22023';
    END IF;
    INSERT INTO /*schema*/pgcoherence.setting DEFAULT VALUES ON CONFLICT (one) DO NOTHING;
    SELECT pod_lease INTO was FROM /*schema*/pgcoherence.setting FOR UPDATE;

    IF lease <= was THEN
        SELECT string_agg(name, ', ') INTO names FROM /*schema*/pgcoherence.pod
        WHERE trusts_ms IS NULL AND lease < was OR trusts_ms > 900 * extract(epoch FROM lease);
        IF names IS NOT NULL THEN
            RAISE EXCEPTION 'pgcoherence: pod lease %: these pods trust their caches for longer than 0.9 of it, or are of an older version: %',
                lease, names USING ERRCODE = '55000', HINT = 'Lower StaleAfter and the caches'' windows first.';
        END IF;
        UPDATE /*schema*/pgcoherence.setting SET pod_lease = lease, next_pod_lease = NULL;
        COMMIT;
        RETURN;
    END IF;

    UPDATE /*schema*/pgcoherence.setting SET next_pod_lease = lease;
    COMMIT;
    LOOP
        SELECT string_agg(name, ', ') INTO names FROM /*schema*/pgcoherence.pod
        WHERE lease_ms IS NULL OR lease_ms < 1000 * extract(epoch FROM lease);
        EXIT WHEN names IS NULL;
        IF clock_timestamp() > give_up THEN
            UPDATE /*schema*/pgcoherence.setting SET next_pod_lease = NULL;
            COMMIT;
            RAISE EXCEPTION 'pgcoherence: pod lease %: these pods do not know of it: %', lease, names
                USING ERRCODE = '55000', HINT = 'Pods of an older version read the lease when they connect: replace them first.';
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
    COMMIT;
    PERFORM pg_sleep(extract(epoch FROM was)); -- confirmations that began with the shorter one end
    UPDATE /*schema*/pgcoherence.setting SET pod_lease = lease, next_pod_lease = NULL;
    COMMIT;
END
$$;

-- What one pod asks the others, for people who look at the live page: the report of a pod behind the same address, who
-- holds a key. Nothing of the protocol reads them, and whoever asks deletes what it has asked.
CREATE UNLOGGED TABLE /*schema*/pgcoherence.pod_question (
    id       uuid        PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    question text        NOT NULL CHECK (octet_length(question) <= 16384)
);
CREATE UNLOGGED TABLE /*schema*/pgcoherence.pod_reply (
    question uuid        NOT NULL,
    pod      uuid        NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    reply    text        NOT NULL CHECK (octet_length(reply) <= 1048576),
    PRIMARY KEY (question, pod)
);
