-- Leases and what goes with them. All logged: this is the truth about who owns what, and an unlogged table is empty
-- after a crash and on a promoted standby, which would hand everything to everybody.

-- One row for each key that was ever taken; free rows are purged after a day, which loses nothing, because tokens come
-- from a sequence and not from the row.
CREATE TABLE /*schema*/pgcoherence.lease (
    key        text COLLATE "C" PRIMARY KEY,
    -- Who has it: the fencing token, and the id that the grant was asked for with, so that asking again after a lost
    -- answer finds the same grant. The owner is for people.
    -- What makes guards work: a token changes only in a statement that has locked the row FOR UPDATE before. That waits
    -- for FOR KEY SHARE, and leaves a mark on the old version of the row at which FOR KEY SHARE fails under an older
    -- snapshot; any other update does neither. (UNIQUE (key, token) would do the same for updates by hand; but then no
    -- grant is HOT, and taking and releasing a lease costs a tenth more.)
    token      bigint      NOT NULL,
    grant_id   uuid        NOT NULL,
    owner      text        NOT NULL DEFAULT '',
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Free from here on; -infinity: released, or taken away.
    expires_at timestamptz NOT NULL,
    -- Somebody may wait in lease_waiter. False only while nobody does: set by whoever enters the queue, under this row's
    -- lock, so that a release cannot miss him.
    queued     boolean     NOT NULL DEFAULT false,
    -- The waiter who may take the free lease, and until when nobody else may.
    next_id    uuid,
    next_until timestamptz,
    meta       jsonb
) WITH (
    fillfactor = 50, -- nothing changes an indexed column: HOT
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_scale_factor = 0.05
);

-- Who waits, first come first served. A waiter is alive while seen_at moves.
CREATE TABLE /*schema*/pgcoherence.lease_waiter (
    id       uuid PRIMARY KEY,
    key      text COLLATE "C" NOT NULL,
    place    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    owner    text        NOT NULL DEFAULT '',
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    fillfactor = 50, -- seen_at is in no index: HOT
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_scale_factor = 0.05
);

CREATE INDEX lease_waiter_queue ON /*schema*/pgcoherence.lease_waiter (key, place);

-- The tokens: their upper 15 bits are the incarnation, which raising it sets here too. No cache, no cycle: a crash can
-- only make it jump ahead.
CREATE SEQUENCE /*schema*/pgcoherence.lease_token AS bigint NO CYCLE;

-- Where the incarnation holds: a grant is made only where this row describes the server it is made on. A sequence alone
-- goes back in time with its database: a standby that was behind, a backup, a snapshot of a volume, a dump. In all of
-- these another server process runs, or the same one with another database or another table.
CREATE TABLE /*schema*/pgcoherence.incarnation (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    n         integer     NOT NULL DEFAULT 0 CHECK (n BETWEEN 0 AND 32767),
    server    timestamptz NOT NULL DEFAULT '-infinity', -- pg_postmaster_start_time()
    database  text        NOT NULL DEFAULT '',
    relation  oid         NOT NULL DEFAULT 0,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason    text        NOT NULL DEFAULT ''
);
INSERT INTO /*schema*/pgcoherence.incarnation DEFAULT VALUES;

-- next_waiter is the first live waiter in a lease's queue, or the first one beside the two named; null for none. Its
-- query must see what was committed while its caller waited for the lease's row lock, hence a volatile function: each
-- statement of one has a snapshot of its own, where the caller's statement has one from before the wait. (Under
-- REPEATABLE READ it has not, and there the caller fails instead, because the row has changed.)
CREATE FUNCTION /*schema*/pgcoherence.next_waiter(of_key text, alive interval, beside uuid, beside2 uuid DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    RETURN (SELECT w.id FROM /*schema*/pgcoherence.lease_waiter AS w
            WHERE w.key = of_key AND w.seen_at > clock_timestamp() - alive
              AND w.id IS DISTINCT FROM beside AND w.id IS DISTINCT FROM beside2
            ORDER BY w.place LIMIT 1);
END
$$;

-- is_queued says whether anybody is in a lease's queue, dead or alive, beside the one named.
CREATE FUNCTION /*schema*/pgcoherence.is_queued(of_key text, beside uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.key = of_key AND w.id IS DISTINCT FROM beside);
END
$$;

-- may_take says whether it is this waiter's turn to take a free lease that has a queue: the one it was handed to; once
-- that one has let its time pass, the first other live one; and if there is none, anybody.
CREATE FUNCTION /*schema*/pgcoherence.may_take(of_key text, who uuid, alive interval, next_id uuid, next_until timestamptz) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    IF next_id = who THEN
        RETURN true;
    END IF;
    IF next_id IS NOT NULL AND next_until > clock_timestamp() THEN
        RETURN false;
    END IF;
    RETURN coalesce(/*schema*/pgcoherence.next_waiter(of_key, alive, next_id) = who, true);
END
$$;

-- leave_queue takes a waiter out of a queue, and out of what it may have been handed or granted meanwhile, and answers
-- who is next if somebody is. It changes the lease's row even if nothing else is to be done: a release that waits for
-- this row then looks at the queue again.
CREATE FUNCTION /*schema*/pgcoherence.leave_queue(of_key text, who uuid, alive interval, claim interval) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    l      /*schema*/pgcoherence.lease;
    heir   uuid;
BEGIN
    UPDATE /*schema*/pgcoherence.lease AS r SET queued = r.queued AND /*schema*/pgcoherence.is_queued(r.key, who)
    WHERE r.key = of_key RETURNING * INTO l;
    DELETE FROM /*schema*/pgcoherence.lease_waiter WHERE id = who;
    IF l.next_id = who OR l.grant_id = who AND l.expires_at > '-infinity' THEN
        heir := /*schema*/pgcoherence.next_waiter(of_key, alive, who);
        UPDATE /*schema*/pgcoherence.lease AS r
        SET expires_at = CASE WHEN r.grant_id = who THEN '-infinity' ELSE r.expires_at END,
            next_id = heir, next_until = CASE WHEN heir IS NOT NULL THEN clock_timestamp() + claim END
        WHERE r.key = of_key;
    END IF;
    RETURN heir;
END
$$;
