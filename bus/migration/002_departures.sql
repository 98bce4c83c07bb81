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
