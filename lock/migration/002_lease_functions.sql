-- Tokens that grow with time, a queue that is cheap to read under an old snapshot, and leases for every language.

-- Functions that look keys up switch sequential scans off, because plans are kept that were made when the tables were small,
-- and JIT, which a plan at such a price would set going.

-- Looking a key up. While an old snapshot is open anywhere, every version of a row that changes often stays, and a search
-- by its key alone reads all of them. rev grows with about each 64th change; a search from the newest rev backwards finds
-- the living version at once and reads a few dozen dead ones at the most:
--     l.key || '' = $1 AND l.rev >= (SELECT m.rev FROM lease AS m WHERE m.key || '' = $1 ORDER BY m.rev DESC LIMIT 1)
-- The expression keeps the primary key out of the plan. Processes of the previous version leave rev as it is, which costs
-- time and nothing else.
ALTER TABLE /*schema*/pgcoherence.lease
    ADD COLUMN rev  integer NOT NULL DEFAULT 0,
    -- No row of the key's queue has a smaller place, so its dead rows below are not read.
    ADD COLUMN head bigint  NOT NULL DEFAULT 0;
CREATE INDEX lease_newest ON /*schema*/pgcoherence.lease ((key || ''), rev);

-- The process that a waiter belongs to, null for SQL clients: when one of its waiters lets a hand-over lapse, the others
-- count as dead too, until they are seen again. When the waiter gives up, null for never: what it is handed just before that
-- would come too late, and if many give up soon, those at the front of a queue always would. And where a hint reaches the
-- waiter, null if nowhere.
ALTER TABLE /*schema*/pgcoherence.lease_waiter
    ADD COLUMN member     uuid,
    ADD COLUMN waits_till timestamptz,
    ADD COLUMN channel    text,
    ADD COLUMN prefix     text;

-- Leases that several hold at once: readers, or the holders of a semaphore. While group_token is the lease's token, the lease
-- belongs to a group, whose members have rows in lease_share and larger tokens; to all who know nothing of groups it is a lease
-- that is held, and never ends before the last member's. Another token ends the group, whoever writes it.
ALTER TABLE /*schema*/pgcoherence.lease
    ADD COLUMN group_token bigint,
    -- How many may be in the group; 0: readers, as many as there are.
    ADD COLUMN group_limit integer,
    -- The tokens of a semaphore's holders, null for readers; and a token that no member's is smaller than. So rows of the
    -- dead are not read again and again.
    ADD COLUMN holders     bigint[],
    ADD COLUMN first_share bigint;

CREATE TABLE /*schema*/pgcoherence.lease_share (
    grant_id   uuid PRIMARY KEY,
    key        text COLLATE "C" NOT NULL,
    token      bigint      NOT NULL,
    owner      text        NOT NULL DEFAULT '',
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Over from here on; -infinity: given up while a transaction that it guards is open.
    expires_at timestamptz NOT NULL,
    meta       jsonb,
    session    bigint,
    grace      interval,
    gone_at    timestamptz
) WITH (
    fillfactor = 50, -- renewing changes no indexed column: HOT
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_scale_factor = 0.05
);

CREATE UNIQUE INDEX lease_share_member ON /*schema*/pgcoherence.lease_share (key, token);

-- How a waiter wants to hold the lease: null alone, else as group_limit.
ALTER TABLE /*schema*/pgcoherence.lease_waiter ADD COLUMN wants integer;

-- Leases that end with a session: the advisory lock that the owner's process holds for as long as its session lives, negative
-- for none; for how long after its end nobody else may have the lease; and when it was first seen to have ended. They say
-- something about the owner while session_grant is the lease's grant_id; of a group, the members' rows say it.
ALTER TABLE /*schema*/pgcoherence.lease
    ADD COLUMN session_grant uuid,
    ADD COLUMN session       bigint,
    ADD COLUMN grace         interval,
    ADD COLUMN gone_at       timestamptz;

-- The incarnation is minutes since 2026, 24 bits, or one more than the last, whichever is more: so a copy restored from a
-- backup begins with a larger one than any server of before, whatever the copy knows of them. n stays what the previous
-- version means by it: the upper 15 bits of a token.
ALTER TABLE /*schema*/pgcoherence.incarnation ADD COLUMN minutes bigint NOT NULL DEFAULT 0;

CREATE FUNCTION /*schema*/pgcoherence.lease_minutes() RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT floor(extract(epoch FROM clock_timestamp() - timestamptz '2026-01-01 00:00:00+00') / 60)::bigint $$;

-- raise_incarnation begins a new incarnation where the row does not describe this server, or, by hand, in any case, and
-- returns it; null if there was nothing to do. The second to try waits for the first. The sequence may be ahead of the row,
-- if one that raised it failed to commit, or behind, if it went back by itself; it never goes back by this.
CREATE FUNCTION /*schema*/pgcoherence.raise_incarnation(by_hand boolean, why text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    i     /*schema*/pgcoherence.incarnation;
    epoch bigint;
BEGIN
    SELECT * INTO STRICT i FROM /*schema*/pgcoherence.incarnation FOR UPDATE;
    IF NOT by_hand AND i.server = pg_postmaster_start_time() AND i.database = current_database()
       AND i.relation = '/*schema*/pgcoherence.lease'::regclass THEN
        RETURN NULL;
    END IF;
    epoch := greatest(/*schema*/pgcoherence.lease_minutes(), i.minutes + 1, (i.n::bigint << 9) + 1,
                     (SELECT (s.last_value >> 39) + 1 FROM /*schema*/pgcoherence.lease_token AS s));
    IF epoch > 16777215 THEN
        RAISE EXCEPTION 'no incarnation is left after %', epoch - 1 USING ERRCODE = '23514';
    END IF;
    PERFORM setval('/*schema*/pgcoherence.lease_token', epoch << 39);
    UPDATE /*schema*/pgcoherence.incarnation
    SET minutes = epoch, n = (epoch >> 9)::integer, server = pg_postmaster_start_time(), database = current_database(),
        relation = '/*schema*/pgcoherence.lease'::regclass, raised_at = clock_timestamp(), reason = why;
    RETURN epoch;
END
$$;

SELECT /*schema*/pgcoherence.raise_incarnation(true, 'tokens grow with time');

-- incarnation_here is where the incarnation holds, if that is this server, database and table; no row: raise it first. It is
-- plain SQL and stable, so that the planner makes it a part of the statement that calls it.
CREATE FUNCTION /*schema*/pgcoherence.incarnation_here() RETURNS TABLE (placed text, server timestamptz, relation oid)
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT i.database, i.server, i.relation
    FROM /*schema*/pgcoherence.incarnation AS i
    WHERE i.one AND i.server = pg_postmaster_start_time() AND i.database = current_database()
      AND i.relation = '/*schema*/pgcoherence.lease'::regclass
$$;

-- queue_head is the place of the first in a lease's queue, dead or alive, beside the one named; null for none.
CREATE FUNCTION /*schema*/pgcoherence.queue_head(of_key text, from_place bigint, beside uuid) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
BEGIN
    RETURN (SELECT w.place FROM /*schema*/pgcoherence.lease_waiter AS w
            WHERE w.key = of_key AND w.place >= from_place AND w.id IS DISTINCT FROM beside
            ORDER BY w.place LIMIT 1);
END
$$;

-- first_waiter is the first live waiter in a lease's queue from a place on, beside the one named; null for none. The one
-- named lapsed was handed the lease and let its time pass: it is left out, with all waiters of its process; and so is one
-- that gives up within 15 ms, less than a hand-over may take.
CREATE FUNCTION /*schema*/pgcoherence.first_waiter(of_key text, from_place bigint, alive interval, beside uuid, lapsed uuid) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    gone uuid;
BEGIN
    IF lapsed IS NOT NULL THEN
        SELECT w.member INTO gone FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = lapsed;
    END IF;
    RETURN (SELECT w.id FROM /*schema*/pgcoherence.lease_waiter AS w
            WHERE w.key = of_key AND w.place >= from_place AND w.seen_at > clock_timestamp() - alive
              AND (w.waits_till IS NULL OR w.waits_till > clock_timestamp() + interval '15 ms')
              AND w.id IS DISTINCT FROM beside AND w.id IS DISTINCT FROM lapsed
              AND (gone IS NULL OR w.member IS DISTINCT FROM gone)
            ORDER BY w.place LIMIT 1);
END
$$;

-- newest_head is the place from which a key's queue is to be read; 0 if there is no such lease.
CREATE FUNCTION /*schema*/pgcoherence.newest_head(of_key text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
BEGIN
    RETURN coalesce((SELECT l.head FROM /*schema*/pgcoherence.lease AS l WHERE l.key || '' = of_key ORDER BY l.rev DESC LIMIT 1), 0);
END
$$;

-- The functions of the previous version, for processes that still run it, and may_take for this one.
CREATE OR REPLACE FUNCTION /*schema*/pgcoherence.next_waiter(of_key text, alive interval, beside uuid, beside2 uuid DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    from_place bigint := /*schema*/pgcoherence.newest_head(of_key);
BEGIN
    RETURN (SELECT w.id FROM /*schema*/pgcoherence.lease_waiter AS w
            WHERE w.key = of_key AND w.place >= from_place AND w.seen_at > clock_timestamp() - alive
              AND w.id IS DISTINCT FROM beside AND w.id IS DISTINCT FROM beside2
            ORDER BY w.place LIMIT 1);
END
$$;

CREATE OR REPLACE FUNCTION /*schema*/pgcoherence.is_queued(of_key text, beside uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
BEGIN
    RETURN /*schema*/pgcoherence.queue_head(of_key, /*schema*/pgcoherence.newest_head(of_key), beside) IS NOT NULL;
END
$$;

CREATE OR REPLACE FUNCTION /*schema*/pgcoherence.may_take(of_key text, who uuid, alive interval, next_id uuid, next_until timestamptz) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    IF next_id = who THEN
        RETURN true;
    END IF;
    IF next_id IS NOT NULL AND next_until > clock_timestamp() THEN
        RETURN false;
    END IF;
    RETURN coalesce(/*schema*/pgcoherence.first_waiter(of_key, /*schema*/pgcoherence.newest_head(of_key), alive, NULL, next_id) = who, true);
END
$$;

CREATE OR REPLACE FUNCTION /*schema*/pgcoherence.leave_queue(of_key text, who uuid, alive interval, claim interval) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    RETURN (SELECT heir FROM /*schema*/pgcoherence.leave_queues(ARRAY[of_key], ARRAY[who], alive, claim, NULL, NULL));
END
$$;

-- tell_heir sends the hint that a waiter was handed a lease: over the channel given, and where that is the waiter's own
-- affair, because it is a SQL client or the channel is '', over the one that its row names. Where the queue of notifications
-- is nearly full it sends none, because that would fail the transaction.
CREATE FUNCTION /*schema*/pgcoherence.tell_heir(heir uuid, by_channel text, by_prefix text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    w record;
BEGIN
    IF heir IS NULL OR pg_notification_queue_usage() > 0.9 THEN
        RETURN;
    END IF;
    SELECT r.member, r.channel, r.prefix INTO w FROM /*schema*/pgcoherence.lease_waiter AS r WHERE r.id = heir;
    IF by_channel = '' OR w.member IS NULL AND w.channel IS NOT NULL THEN
        by_channel := w.channel;
        by_prefix := w.prefix;
    END IF;
    IF by_channel IS NOT NULL THEN
        PERFORM pg_notify(by_channel, by_prefix || heir);
    END IF;
END
$$;

-- lease_try takes a lease if it is free and it is this grant's turn; otherwise it writes nothing and returns who has it. The
-- row is locked as a change of token needs it, FOR UPDATE, and never waited for: one that is locked is renewed, handed on,
-- or guarded by somebody's transaction right now. A grant that is there already, because its answer was lost, is found by
-- its id and made to last again. max_group is the limit of the group that has it, null if none has. Nothing is granted where
-- the incarnation does not describe this server: then placed is null. Each statement here has a snapshot of its own and so
-- sees what was committed while it waited. The grant is bound to a session from its first moment, if its process has one.
CREATE FUNCTION /*schema*/pgcoherence.lease_try(of_key text, who uuid, of_owner text, ttl interval, of_meta jsonb, alive interval,
    of_session bigint DEFAULT NULL, of_grace interval DEFAULT NULL,
    OUT placed text, OUT server timestamptz, OUT relation oid, OUT granted bigint, OUT token bigint, OUT owner text,
    OUT held boolean, OUT turn boolean, OUT since timestamptz, OUT expires_at timestamptz, OUT meta jsonb, OUT max_group integer)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l     /*schema*/pgcoherence.lease;
    tid   tid;
    first bigint;
    again boolean;
    gone  uuid;
BEGIN
    SELECT p.placed, p.server, p.relation INTO placed, server, relation FROM /*schema*/pgcoherence.incarnation_here() AS p;
    IF placed IS NULL THEN
        RETURN;
    END IF;

    SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = of_key ORDER BY r.rev DESC LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO /*schema*/pgcoherence.lease AS r (key, token, grant_id, owner, meta, expires_at, session_grant, session, grace)
        VALUES (of_key, nextval('/*schema*/pgcoherence.lease_token'), who, of_owner, of_meta, clock_timestamp() + ttl,
                CASE WHEN of_session IS NOT NULL THEN who END, of_session, of_grace)
        ON CONFLICT (key) DO NOTHING
        RETURNING r.token INTO granted;
        IF granted IS NOT NULL THEN
            RETURN;
        END IF;
        SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = of_key ORDER BY r.rev DESC LIMIT 1;
    END IF;

    turn := l.expires_at <= clock_timestamp()
            AND (NOT l.queued AND l.next_id IS NULL OR /*schema*/pgcoherence.may_take(of_key, who, alive, l.next_id, l.next_until));
    IF turn OR l.grant_id = who AND l.expires_at > clock_timestamp() THEN
        SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r
        WHERE r.key || '' = of_key AND r.rev >= l.rev
          AND (r.expires_at <= clock_timestamp()
               AND (NOT r.queued AND r.next_id IS NULL OR /*schema*/pgcoherence.may_take(of_key, who, alive, r.next_id, r.next_until))
               OR r.grant_id = who AND r.expires_at > clock_timestamp())
        FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = tid;
            again := l.grant_id = who AND l.expires_at > clock_timestamp();
            first := l.head;
            IF l.queued THEN
                DELETE FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = who;
                IF l.next_id <> who THEN
                    DELETE FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = l.next_id RETURNING w.member INTO gone;
                    UPDATE /*schema*/pgcoherence.lease_waiter AS w SET seen_at = '-infinity' WHERE w.key = of_key AND w.place >= l.head AND w.member = gone;
                END IF;
                first := /*schema*/pgcoherence.queue_head(of_key, l.head, NULL);
            END IF;
            UPDATE /*schema*/pgcoherence.lease AS r
            SET token = CASE WHEN again THEN r.token ELSE nextval('/*schema*/pgcoherence.lease_token') END,
                grant_id = who, owner = of_owner, meta = of_meta,
                since = CASE WHEN again THEN r.since ELSE clock_timestamp() END, expires_at = clock_timestamp() + ttl,
                queued = r.queued AND first IS NOT NULL, head = coalesce(first, r.head), next_id = NULL, next_until = NULL,
                session_grant = CASE WHEN of_session IS NOT NULL THEN who END, grace = of_grace, gone_at = NULL,
                session = CASE WHEN again AND r.session_grant = who AND abs(r.session) > abs(of_session) THEN r.session ELSE of_session END,
                rev = r.rev + (random() < 0.015625)::integer
            WHERE r.ctid = tid
            RETURNING r.token INTO granted;
            RETURN;
        END IF;
    END IF;
    token := l.token;
    owner := l.owner;
    held := l.expires_at > clock_timestamp();
    since := l.since;
    expires_at := l.expires_at;
    meta := l.meta;
    max_group := CASE WHEN l.group_token = l.token THEN l.group_limit END;
END
$$;

-- lease_claim is the common case of lease_try for a waiter: the lease was handed to it. Null: ask lease_try. It waits for
-- those who change the row without touching the token, above all for others that enter the queue: they take no time. It
-- does not wait for guarded transactions, which may. The two locks are two strengths of one: the first lets guards be. If a
-- guard ended between them, Postgres notes both beside the change that follows, and to a guard under an older snapshot that
-- looks like a change that leaves the token alone: then lease_try takes the lease, by one lock.
CREATE FUNCTION /*schema*/pgcoherence.lease_claim(of_key text, who uuid, of_owner text, ttl interval, of_meta jsonb,
    of_server timestamptz, of_database text, of_relation oid, of_session bigint DEFAULT NULL, of_grace interval DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l       record;
    first   bigint;
    granted bigint;
BEGIN
    IF pg_postmaster_start_time() <> of_server OR current_database() <> of_database THEN
        RETURN NULL;
    END IF;
    SELECT r.ctid, r.queued, r.head INTO l FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = of_key AND r.next_id = who AND r.expires_at <= clock_timestamp() AND r.tableoid = of_relation
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = of_key ORDER BY m.rev DESC LIMIT 1)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = l.ctid FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = l.ctid AND r.xmax = pg_current_xact_id()::xid;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    first := l.head;
    IF l.queued THEN
        DELETE FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = who;
        first := /*schema*/pgcoherence.queue_head(of_key, l.head, NULL);
    END IF;
    UPDATE /*schema*/pgcoherence.lease AS r
    SET token = nextval('/*schema*/pgcoherence.lease_token'), grant_id = who, owner = of_owner, meta = of_meta,
        since = clock_timestamp(), expires_at = clock_timestamp() + ttl,
        queued = r.queued AND first IS NOT NULL, head = coalesce(first, r.head), next_id = NULL, next_until = NULL,
        session_grant = CASE WHEN of_session IS NOT NULL THEN who END, session = of_session, grace = of_grace, gone_at = NULL,
        rev = r.rev + (random() < 0.015625)::integer
    WHERE r.ctid = l.ctid
    RETURNING r.token INTO granted;
    RETURN granted;
END
$$;

-- lease_enqueue enters a lease's queue under the row's lock: a release either comes before and is seen here, or comes after
-- and sees the waiter. It returns whether the lease is there for the taking by now, and else for how long it runs or is kept
-- for another; no row if there is no such lease. Places are given in the order of the row's lock, which is held for a moment
-- only: this does not wait for the disk. Who is in no queue after a crash enters it again. Under READ COMMITTED the lock is
-- enough, because all who lock the row read the queue after that; others, whose snapshot is older, have to fail, and so the
-- row is changed.
CREATE FUNCTION /*schema*/pgcoherence.lease_enqueue(of_key text, who uuid, of_owner text, of_member uuid, waits interval, of_channel text,
    of_prefix text, of_wants integer DEFAULT NULL)
    RETURNS TABLE (free boolean, taken_for interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l     record;
    own   bigint;
    until timestamptz;
BEGIN
    SELECT r.ctid, r.queued, r.expires_at, r.next_id, r.next_until, r.token, r.group_token, r.group_limit, r.holders INTO l
    FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = of_key
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = of_key ORDER BY m.rev DESC LIMIT 1)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO /*schema*/pgcoherence.lease_waiter AS w (id, key, owner, member, waits_till, channel, prefix, wants)
    VALUES (who, of_key, of_owner, of_member, clock_timestamp() + waits, of_channel, of_prefix, of_wants)
    ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), waits_till = excluded.waits_till
    RETURNING w.place INTO own;
    IF NOT l.queued OR current_setting('transaction_isolation') <> 'read committed' THEN
        UPDATE /*schema*/pgcoherence.lease AS r
        SET queued = true, head = CASE WHEN r.queued THEN r.head ELSE own END, rev = r.rev + (random() < 0.015625)::integer WHERE r.ctid = l.ctid;
    END IF;
    IF of_wants IS NOT NULL AND l.group_token = l.token THEN
        l.expires_at := /*schema*/pgcoherence.share_room_at(of_key, of_wants, l.expires_at, l.group_limit, l.holders);
    END IF;
    until := greatest(CASE WHEN isfinite(l.expires_at) THEN l.expires_at END, CASE WHEN l.next_id IS NOT NULL THEN l.next_until END);
    free := coalesce(until <= clock_timestamp(), true);
    taken_for := coalesce(greatest(until - clock_timestamp(), interval '0'), interval '0');
    RETURN NEXT;
END
$$;

-- lease_give ends a lease, at once or when its minimum hold has passed, and hands it to the first live waiter if there is
-- one. No row: it is not held by this token. The token does not change, so this does not wait for transactions that are
-- guarded by the lease; whoever comes next does. It does not wait for the disk either: the next grant does, and flushes this
-- with it; if the server crashes before that, the lease lasts until its TTL is over. The queue is read after the row has
-- been locked.
CREATE FUNCTION /*schema*/pgcoherence.lease_give(of_key text, of_token bigint, hold interval, alive interval, claim interval, channel text, prefix text)
    RETURNS TABLE (heir uuid)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l     record;
    first bigint;
BEGIN
    SELECT r.ctid, r.queued, r.head, r.since INTO l FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = of_key AND r.token = of_token AND r.expires_at > '-infinity'
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = of_key ORDER BY m.rev DESC LIMIT 1)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    IF l.since + hold > clock_timestamp() THEN
        UPDATE /*schema*/pgcoherence.lease AS r
        SET expires_at = l.since + hold, next_id = NULL, next_until = NULL, session_grant = NULL WHERE r.ctid = l.ctid;
    ELSE
        IF l.queued THEN
            first := /*schema*/pgcoherence.queue_head(of_key, l.head, NULL);
            heir := /*schema*/pgcoherence.first_waiter(of_key, coalesce(first, l.head), alive, NULL, NULL);
        END IF;
        UPDATE /*schema*/pgcoherence.lease AS r
        SET expires_at = '-infinity', next_id = heir, next_until = CASE WHEN heir IS NOT NULL THEN clock_timestamp() + claim END,
            head = coalesce(first, r.head), rev = r.rev + (random() < 0.015625)::integer
        WHERE r.ctid = l.ctid;
        PERFORM /*schema*/pgcoherence.tell_heir(heir, channel, prefix);
    END IF;
    RETURN NEXT;
END
$$;

-- leave_queues takes waiters out of queues, and out of what they may have been handed or granted meanwhile, and returns who
-- is next where somebody is. The rows of leases are locked in one order, so that two of these cannot wait for each other,
-- and changed only where something changes.
CREATE FUNCTION /*schema*/pgcoherence.leave_queues(keys text[], ids uuid[], alive interval, claim interval, channel text, prefix text)
    RETURNS TABLE (heir uuid)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    k     record;
    l     /*schema*/pgcoherence.lease;
    tid   tid;
    first bigint;
    mine  boolean;
    ended timestamptz;
BEGIN
    FOR k IN SELECT u.key, array_agg(u.id) AS ids FROM unnest(keys, ids) AS u (key, id) GROUP BY u.key ORDER BY u.key COLLATE "C" LOOP
        SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r
        WHERE r.key || '' = k.key
          AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = k.key ORDER BY m.rev DESC LIMIT 1)
        FOR NO KEY UPDATE;
        DELETE FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = ANY (k.ids);
        CONTINUE WHEN tid IS NULL;
        SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = tid;
        heir := NULL;
        first := /*schema*/pgcoherence.queue_head(k.key, l.head, NULL);

        IF l.group_token = l.token AND l.expires_at > clock_timestamp() THEN
            ended := /*schema*/pgcoherence.share_end(k.key, ARRAY(
                SELECT s.ctid FROM /*schema*/pgcoherence.lease_share AS s
                WHERE s.grant_id = ANY (k.ids) AND s.key = k.key AND s.token > l.token AND s.expires_at > '-infinity'));
            l.queued := l.queued AND first IS NOT NULL;
            IF ended IS NOT NULL THEN
                l := /*schema*/pgcoherence.share_settle(l, ended >= l.expires_at);
            END IF;
            IF l.next_id = ANY (k.ids) THEN
                l.next_id := NULL;
            END IF;
            l := /*schema*/pgcoherence.share_hand_on(l, alive, claim);
            heir := l.next_id;
            UPDATE /*schema*/pgcoherence.lease AS r
            SET expires_at = l.expires_at, holders = l.holders, first_share = l.first_share, queued = l.queued, head = l.head,
                next_id = l.next_id, next_until = l.next_until, rev = r.rev + (random() < 0.015625)::integer
            WHERE r.ctid = tid;
            PERFORM /*schema*/pgcoherence.tell_heir(heir, channel, prefix);
            RETURN NEXT;
            CONTINUE;
        END IF;

        mine := l.grant_id = ANY (k.ids) AND l.expires_at > '-infinity';
        IF l.next_id = ANY (k.ids) OR mine THEN
            heir := /*schema*/pgcoherence.first_waiter(k.key, coalesce(first, l.head), alive, NULL, NULL);
            UPDATE /*schema*/pgcoherence.lease AS r
            SET expires_at = CASE WHEN mine THEN '-infinity' ELSE r.expires_at END, queued = r.queued AND first IS NOT NULL,
                head = coalesce(first, r.head), next_id = heir, next_until = CASE WHEN heir IS NOT NULL THEN clock_timestamp() + claim END,
                rev = r.rev + (random() < 0.015625)::integer
            WHERE r.ctid = tid;
            PERFORM /*schema*/pgcoherence.tell_heir(heir, channel, prefix);
            RETURN NEXT;
        ELSIF l.queued AND (first IS NULL OR first > l.head + 100) OR current_setting('transaction_isolation') <> 'read committed' THEN
            UPDATE /*schema*/pgcoherence.lease AS r
            SET queued = r.queued AND first IS NOT NULL, head = coalesce(first, r.head), rev = r.rev + (random() < 0.015625)::integer
            WHERE r.ctid = tid;
        END IF;
    END LOOP;
END
$$;

-- share_room_at is when a group that a lease belongs to may take in one more who wants to hold it like that, if nobody gives
-- it up: -infinity for now, and when the group ends for one that it never takes in.
CREATE FUNCTION /*schema*/pgcoherence.share_room_at(of_key text, wants integer, expires_at timestamptz, group_limit integer, holders bigint[])
    RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    live  integer;
    until timestamptz;
BEGIN
    IF (wants = 0) <> (group_limit = 0) THEN
        RETURN expires_at;
    END IF;
    IF wants = 0 THEN
        RETURN '-infinity';
    END IF;
    SELECT count(*), min(s.expires_at) INTO live, until FROM /*schema*/pgcoherence.lease_share AS s
    WHERE s.key = of_key AND s.token = ANY (holders) AND s.expires_at > clock_timestamp();
    RETURN CASE WHEN live < group_limit THEN '-infinity' ELSE until END;
END
$$;

-- share_end ends members of a group by where their rows lie, and returns the latest time at which they would have ended;
-- null if there were none. One that guards a transaction keeps its row, so that the guard is waited for.
CREATE FUNCTION /*schema*/pgcoherence.share_end(of_key text, places tid[]) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    latest timestamptz;
    kept   timestamptz;
BEGIN
    WITH gone AS (
        DELETE FROM /*schema*/pgcoherence.lease_share AS s
        WHERE s.ctid = ANY (ARRAY(SELECT x.ctid FROM /*schema*/pgcoherence.lease_share AS x WHERE x.ctid = ANY (places) FOR UPDATE SKIP LOCKED))
        RETURNING s.expires_at
    )
    SELECT max(gone.expires_at) INTO latest FROM gone;
    SELECT max(s.expires_at) INTO kept FROM /*schema*/pgcoherence.lease_share AS s WHERE s.ctid = ANY (places);
    IF kept IS NOT NULL THEN
        UPDATE /*schema*/pgcoherence.lease_share AS s SET expires_at = '-infinity' WHERE s.ctid = ANY (places);
    END IF;
    RETURN greatest(latest, kept);
END
$$;

-- share_settle is a group after members have ended: with the holders that still count, and free if no member is left. A
-- semaphore's holder that has ended but guards a transaction still counts. The group's end is found again if the member that
-- ended was the last of all to end; it never moves away, so that a group that was ended by force stays so. The lease's row is
-- locked.
CREATE FUNCTION /*schema*/pgcoherence.share_settle(l /*schema*/pgcoherence.lease, find_end boolean) RETURNS /*schema*/pgcoherence.lease
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    until timestamptz;
BEGIN
    IF l.group_limit > 0 THEN
        DELETE FROM /*schema*/pgcoherence.lease_share AS s
        WHERE s.ctid = ANY (ARRAY(
            SELECT x.ctid FROM /*schema*/pgcoherence.lease_share AS x
            WHERE x.key = l.key AND x.token = ANY (l.holders) AND x.expires_at <= clock_timestamp()
            FOR UPDATE SKIP LOCKED));
        l.holders := ARRAY(SELECT s.token FROM /*schema*/pgcoherence.lease_share AS s WHERE s.key = l.key AND s.token = ANY (l.holders)
                           ORDER BY s.token);
        l.first_share := coalesce(l.holders[1], l.first_share);
        until := (SELECT max(s.expires_at) FROM /*schema*/pgcoherence.lease_share AS s
                  WHERE s.key = l.key AND s.token = ANY (l.holders) AND s.expires_at > clock_timestamp());
        l.expires_at := least(l.expires_at, coalesce(until, '-infinity'));
        RETURN l;
    END IF;
    l.first_share := coalesce((SELECT s.token FROM /*schema*/pgcoherence.lease_share AS s WHERE s.key = l.key AND s.token >= l.first_share
                               ORDER BY s.token LIMIT 1), l.first_share);
    IF find_end THEN
        until := (SELECT max(s.expires_at) FROM /*schema*/pgcoherence.lease_share AS s
                  WHERE s.key = l.key AND s.token >= l.first_share AND s.expires_at > clock_timestamp());
        l.expires_at := least(l.expires_at, coalesce(until, '-infinity'));
    ELSIF NOT EXISTS (SELECT FROM /*schema*/pgcoherence.lease_share AS s
                      WHERE s.key = l.key AND s.token >= l.first_share AND s.expires_at > clock_timestamp()) THEN
        l.expires_at := '-infinity';
    END IF;
    RETURN l;
END
$$;

-- share_hand_on is a lease that is free, or belongs to a group, handed to the first live waiter if it may be taken in: so
-- readers who wait behind one another come in one after the other, and no reader passes by a writer who waits. One that was
-- handed it and has let its time pass is left out, with all waiters of its process. The lease's row is locked.
CREATE FUNCTION /*schema*/pgcoherence.share_hand_on(l /*schema*/pgcoherence.lease, alive interval, claim interval) RETURNS /*schema*/pgcoherence.lease
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    heir   uuid;
    wanted integer;
    first  bigint;
BEGIN
    IF l.next_id IS NOT NULL AND l.next_until > clock_timestamp() THEN
        RETURN l;
    END IF;
    IF l.queued THEN
        first := /*schema*/pgcoherence.queue_head(l.key, l.head, NULL);
        l.head := coalesce(first, l.head);
        heir := /*schema*/pgcoherence.first_waiter(l.key, l.head, alive, NULL, l.next_id);
    END IF;
    IF heir IS NOT NULL AND l.expires_at > clock_timestamp() THEN
        SELECT w.wants INTO wanted FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = heir;
        IF wanted IS NULL OR (wanted = 0) <> (l.group_limit = 0) OR l.group_limit > 0 AND cardinality(l.holders) >= l.group_limit THEN
            heir := NULL;
        END IF;
    END IF;
    l.next_id := heir;
    l.next_until := CASE WHEN heir IS NOT NULL THEN clock_timestamp() + claim END;
    RETURN l;
END
$$;

-- share_try takes a share of a lease: as one of readers if max_holders is 0, else as one of that many holders of a semaphore.
-- Of a semaphore that somebody holds, the limit stays that with which it was begun, and max_group says it. The first of a
-- group takes the lease as lease_try would; those who join change no token of the lease, and so wait for no guard. It returns
-- what lease_try does, and who was handed a share after it.
CREATE FUNCTION /*schema*/pgcoherence.share_try(of_key text, who uuid, of_owner text, ttl interval, of_meta jsonb, alive interval,
    claim interval, max_holders integer, channel text, prefix text, of_session bigint DEFAULT NULL, of_grace interval DEFAULT NULL,
    OUT placed text, OUT server timestamptz, OUT relation oid, OUT granted bigint, OUT token bigint, OUT owner text,
    OUT held boolean, OUT turn boolean, OUT since timestamptz, OUT expires_at timestamptz, OUT meta jsonb,
    OUT max_group integer, OUT heir uuid)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l     /*schema*/pgcoherence.lease;
    tid   tid;
    first bigint;
    gone  uuid;
    mine  record;
    begins boolean;
    free  boolean;
    room  boolean;
    until timestamptz;
BEGIN
    SELECT p.placed, p.server, p.relation INTO placed, server, relation FROM /*schema*/pgcoherence.incarnation_here() AS p;
    IF placed IS NULL THEN
        RETURN;
    END IF;

    SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = of_key ORDER BY r.rev DESC LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO /*schema*/pgcoherence.lease AS r (key, token, grant_id, expires_at)
        VALUES (of_key, nextval('/*schema*/pgcoherence.lease_token'), '00000000-0000-0000-0000-000000000000', '-infinity')
        ON CONFLICT (key) DO NOTHING;
        SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = of_key ORDER BY r.rev DESC LIMIT 1;
    END IF;

    -- Who would have to wait writes nothing and waits for no row.
    free := l.expires_at <= clock_timestamp();
    room := free OR l.group_token = l.token
                    AND /*schema*/pgcoherence.share_room_at(of_key, max_holders, l.expires_at, l.group_limit, l.holders) = '-infinity';
    turn := room AND (NOT l.queued AND l.next_id IS NULL OR /*schema*/pgcoherence.may_take(of_key, who, alive, l.next_id, l.next_until));
    IF turn OR EXISTS (SELECT FROM /*schema*/pgcoherence.lease_share AS s WHERE s.grant_id = who) THEN
        -- Who begins a group writes a new token for the lease, and locks it for that by one lock, as lease_try does.
        begins := free;
        IF begins THEN
            SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = of_key AND r.rev >= l.rev FOR UPDATE SKIP LOCKED;
        ELSE
            SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = of_key AND r.rev >= l.rev FOR NO KEY UPDATE;
        END IF;
    END IF;
    IF tid IS NOT NULL THEN
        SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = tid;
        free := l.expires_at <= clock_timestamp();

        -- A share that is there already, because its answer was lost, lasts again; one that is over goes.
        SELECT s.ctid, s.token, s.since, s.key = of_key AND s.token > l.token AND s.expires_at > clock_timestamp() AS live INTO mine
        FROM /*schema*/pgcoherence.lease_share AS s WHERE s.grant_id = who FOR NO KEY UPDATE;
        IF FOUND AND mine.live AND NOT free AND l.group_token = l.token THEN
            until := clock_timestamp() + ttl;
            UPDATE /*schema*/pgcoherence.lease AS r
            SET expires_at = greatest(r.expires_at, until),
                session_grant = CASE WHEN of_session IS NULL THEN r.session_grant ELSE r.grant_id END
            WHERE r.ctid = tid;
            UPDATE /*schema*/pgcoherence.lease_share AS s
            SET expires_at = until, grace = of_grace, gone_at = NULL,
                session = CASE WHEN abs(s.session) > abs(of_session) THEN s.session ELSE of_session END
            WHERE s.ctid = mine.ctid;
            granted := mine.token;
            max_group := l.group_limit;
            RETURN;
        END IF;
        IF mine.token IS NOT NULL THEN
            PERFORM /*schema*/pgcoherence.share_end(of_key, ARRAY[mine.ctid]);
        END IF;

        turn := NOT l.queued AND l.next_id IS NULL OR /*schema*/pgcoherence.may_take(of_key, who, alive, l.next_id, l.next_until);
        room := free AND begins; -- else it has just become free, and is asked for again
        IF turn AND NOT free AND l.group_token = l.token AND (l.group_limit = 0) = (max_holders = 0) THEN
            IF l.group_limit > 0 THEN
                l := /*schema*/pgcoherence.share_settle(l, true);
            END IF;
            room := l.group_limit = 0 OR cardinality(l.holders) < l.group_limit;
        END IF;

        IF turn AND room THEN
            IF free THEN
                l.token := nextval('/*schema*/pgcoherence.lease_token');
                l.group_token := l.token;
                l.group_limit := max_holders;
                l.holders := CASE WHEN max_holders > 0 THEN '{}'::bigint[] END;
                l.grant_id := gen_random_uuid();
                l.owner := of_owner;
                l.meta := of_meta;
                l.since := clock_timestamp();
                l.expires_at := '-infinity';
            END IF;
            granted := nextval('/*schema*/pgcoherence.lease_token');
            IF free THEN
                l.first_share := granted;
            END IF;
            IF l.group_limit > 0 THEN
                l.holders := l.holders || granted;
            END IF;
            until := clock_timestamp() + ttl;
            l.expires_at := greatest(l.expires_at, until);
            INSERT INTO /*schema*/pgcoherence.lease_share (grant_id, key, token, owner, meta, expires_at, session, grace)
            VALUES (who, of_key, granted, of_owner, of_meta, until, of_session, of_grace);

            IF l.queued THEN
                DELETE FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = who;
                IF l.next_id <> who THEN
                    DELETE FROM /*schema*/pgcoherence.lease_waiter AS w WHERE w.id = l.next_id RETURNING w.member INTO gone;
                    UPDATE /*schema*/pgcoherence.lease_waiter AS w SET seen_at = '-infinity' WHERE w.key = of_key AND w.place >= l.head AND w.member = gone;
                END IF;
                first := /*schema*/pgcoherence.queue_head(of_key, l.head, NULL);
                l.queued := first IS NOT NULL;
                l.head := coalesce(first, l.head);
            END IF;
            l.next_id := NULL;
            l := /*schema*/pgcoherence.share_hand_on(l, alive, claim);
            heir := l.next_id;
            UPDATE /*schema*/pgcoherence.lease AS r
            SET token = l.token, grant_id = l.grant_id, owner = l.owner, since = l.since, expires_at = l.expires_at, meta = l.meta,
                group_token = l.group_token, group_limit = l.group_limit, holders = l.holders, first_share = l.first_share,
                session_grant = CASE WHEN of_session IS NULL THEN r.session_grant ELSE l.grant_id END,
                queued = l.queued, head = l.head, next_id = l.next_id, next_until = l.next_until,
                rev = r.rev + (random() < 0.015625)::integer
            WHERE r.ctid = tid;
            PERFORM /*schema*/pgcoherence.tell_heir(heir, channel, prefix);
            max_group := l.group_limit;
            RETURN;
        END IF;
    END IF;

    token := l.token;
    owner := l.owner;
    -- A semaphore whose last place is taken by a guard, and readers behind a writer, are not held: others come first.
    held := l.expires_at > clock_timestamp() AND NOT coalesce(
        l.group_token = l.token AND /*schema*/pgcoherence.share_room_at(of_key, max_holders, l.expires_at, l.group_limit, l.holders) = '-infinity', false);
    since := l.since;
    expires_at := l.expires_at;
    meta := l.meta;
    max_group := CASE WHEN l.group_token = l.token THEN l.group_limit END;
END
$$;

-- share_give ends a share, at once or when its minimum hold has passed, and hands what it leaves to the first live waiter: the
-- lease if the group is over, else a place in it. No row: this token holds no share. Like lease_give it waits for no guard and
-- not for the disk.
CREATE FUNCTION /*schema*/pgcoherence.share_give(of_key text, of_token bigint, hold interval, alive interval, claim interval, channel text, prefix text)
    RETURNS TABLE (heir uuid)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l   /*schema*/pgcoherence.lease;
    tid tid;
    s   record;
BEGIN
    SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = of_key AND r.group_token = r.token AND r.token < of_token
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = of_key ORDER BY m.rev DESC LIMIT 1)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = tid;
    SELECT x.ctid, x.since, x.expires_at INTO s FROM /*schema*/pgcoherence.lease_share AS x
    WHERE x.key = of_key AND x.token = of_token AND x.expires_at > '-infinity' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    PERFORM set_config('synchronous_commit', 'off', true);
    IF s.since + hold > clock_timestamp() THEN
        UPDATE /*schema*/pgcoherence.lease_share AS x SET expires_at = least(x.since + hold, l.expires_at), session = NULL WHERE x.ctid = s.ctid;
    ELSE
        PERFORM /*schema*/pgcoherence.share_end(of_key, ARRAY[s.ctid]);
        l := /*schema*/pgcoherence.share_settle(l, s.expires_at >= l.expires_at);
        l := /*schema*/pgcoherence.share_hand_on(l, alive, claim);
        heir := l.next_id;
        UPDATE /*schema*/pgcoherence.lease AS r
        SET expires_at = l.expires_at, holders = l.holders, first_share = l.first_share, head = l.head,
            next_id = l.next_id, next_until = l.next_until, rev = r.rev + (random() < 0.015625)::integer
        WHERE r.ctid = tid;
        PERFORM /*schema*/pgcoherence.tell_heir(heir, channel, prefix);
    END IF;
    RETURN NEXT;
END
$$;

-- share_resize changes how many may hold a semaphore that somebody holds. Those beyond a smaller number keep what they have. It
-- returns who was handed a place; no row: nobody holds it as a semaphore.
CREATE FUNCTION /*schema*/pgcoherence.share_resize(of_key text, max_holders integer, alive interval, claim interval, channel text, prefix text)
    RETURNS TABLE (heir uuid)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l   /*schema*/pgcoherence.lease;
    tid tid;
BEGIN
    SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = of_key AND r.group_token = r.token AND r.group_limit > 0 AND r.expires_at > clock_timestamp()
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = of_key ORDER BY m.rev DESC LIMIT 1)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = tid;
    l.group_limit := max_holders;
    l := /*schema*/pgcoherence.share_settle(l, true);
    l := /*schema*/pgcoherence.share_hand_on(l, alive, claim);
    heir := l.next_id;
    UPDATE /*schema*/pgcoherence.lease AS r
    SET group_limit = l.group_limit, expires_at = l.expires_at, holders = l.holders, first_share = l.first_share, head = l.head,
        next_id = l.next_id, next_until = l.next_until, rev = r.rev + (random() < 0.015625)::integer
    WHERE r.ctid = tid;
    PERFORM /*schema*/pgcoherence.tell_heir(heir, channel, prefix);
    RETURN NEXT;
END
$$;

-- lease_reap frees a lease, or shares of one, whose owner's session has ended, for those who wait for it: when it is first
-- seen to have ended that is noted, and when the owner's grace has passed since then, it is taken. An owner that found a new
-- session writes that into the row before, or has stopped by then. It returns who was handed the lease, and after how long
-- to look again; null if no owner's session says anything.
CREATE FUNCTION /*schema*/pgcoherence.lease_reap(of_key text, alive interval, claim interval, channel text, prefix text,
    OUT heir uuid, OUT look_in interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    l     /*schema*/pgcoherence.lease;
    tid   tid;
    bound integer;
    gone  integer;
    until timestamptz;
BEGIN
    SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.key || '' = of_key ORDER BY r.rev DESC LIMIT 1;
    IF NOT FOUND OR l.expires_at <= clock_timestamp() OR l.session_grant IS DISTINCT FROM l.grant_id
       OR l.session <= 0 AND l.group_token IS DISTINCT FROM l.token THEN
        RETURN;
    END IF;
    IF l.group_token = l.token THEN
        SELECT count(*), count(*) FILTER (WHERE s.gone_at IS NOT NULL OR pg_try_advisory_xact_lock_shared(s.session)) INTO bound, gone
        FROM /*schema*/pgcoherence.lease_share AS s
        WHERE s.key = of_key AND s.token >= l.first_share AND s.expires_at > clock_timestamp() AND s.session > 0;
        l.gone_at := NULL; -- of an owner before the group
    ELSE
        bound := 1;
        gone := (l.gone_at IS NOT NULL OR pg_try_advisory_xact_lock_shared(l.session))::integer;
    END IF;
    IF bound = 0 THEN
        RETURN;
    END IF;
    look_in := interval '250 ms';
    IF gone = 0 OR l.gone_at + l.grace > clock_timestamp() THEN
        look_in := coalesce(l.gone_at + l.grace - clock_timestamp(), look_in);
        RETURN;
    END IF;

    -- A session that has ended never comes back, so what was seen before the lock holds if the row still names it.
    SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = of_key AND r.rev >= l.rev AND r.token = l.token AND r.session IS NOT DISTINCT FROM l.session
      AND r.expires_at > clock_timestamp()
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        look_in := interval '20 ms';
        RETURN;
    END IF;
    SELECT r.* INTO l FROM /*schema*/pgcoherence.lease AS r WHERE r.ctid = tid;
    IF l.group_token = l.token THEN
        UPDATE /*schema*/pgcoherence.lease_share AS s SET gone_at = clock_timestamp()
        WHERE s.key = of_key AND s.token >= l.first_share AND s.expires_at > clock_timestamp() AND s.session > 0
          AND s.gone_at IS NULL AND pg_try_advisory_xact_lock_shared(s.session);
        until := /*schema*/pgcoherence.share_end(of_key, ARRAY(
            SELECT s.ctid FROM /*schema*/pgcoherence.lease_share AS s
            WHERE s.key = of_key AND s.token >= l.first_share AND s.expires_at > clock_timestamp()
              AND s.session > 0 AND s.gone_at + s.grace <= clock_timestamp()));
        look_in := coalesce((SELECT min(s.gone_at + s.grace) - clock_timestamp() FROM /*schema*/pgcoherence.lease_share AS s
                             WHERE s.key = of_key AND s.token >= l.first_share AND s.expires_at > clock_timestamp()), look_in);
        IF until IS NULL THEN
            RETURN;
        END IF;
        l := /*schema*/pgcoherence.share_settle(l, true);
    ELSIF l.gone_at IS NULL THEN
        UPDATE /*schema*/pgcoherence.lease AS r SET gone_at = clock_timestamp() WHERE r.ctid = tid;
        look_in := l.grace;
        RETURN;
    ELSE
        l.expires_at := '-infinity';
    END IF;
    l := /*schema*/pgcoherence.share_hand_on(l, alive, claim);
    heir := l.next_id;
    UPDATE /*schema*/pgcoherence.lease AS r
    SET expires_at = l.expires_at, holders = l.holders, first_share = l.first_share, head = l.head,
        next_id = l.next_id, next_until = l.next_until, rev = r.rev + (random() < 0.015625)::integer
    WHERE r.ctid = tid;
    PERFORM /*schema*/pgcoherence.tell_heir(heir, channel, prefix);
END
$$;

-- Leases for every language. The functions below are for clients that speak SQL: psql, Python, Java and others. They
-- contend with the processes of the Go package for the same keys, in the same queues. Each call is a transaction of its own
-- (autocommit), but for lease_guard.

-- lease_check raises what is wrong with the parameters of the functions below.
CREATE FUNCTION /*schema*/pgcoherence.lease_check(key text, owner text, ttl interval, meta jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF key IS NULL OR key = '' OR octet_length(key) > 1024 THEN
        RAISE EXCEPTION 'lease key: want 1 to 1024 bytes' USING ERRCODE = '22023';
    END IF;
    IF ttl IS NULL OR ttl < interval '1 s' OR ttl > interval '24 h' THEN
        RAISE EXCEPTION 'lease ttl: % is not from 1 s to 24 h', ttl USING ERRCODE = '22023';
    END IF;
    IF owner IS NULL OR octet_length(owner) > 200 OR octet_length(meta::text) > 8192 THEN
        RAISE EXCEPTION 'lease owner: want at most 200 bytes; meta: at most 8192' USING ERRCODE = '22023';
    END IF;
END
$$;

-- lease_acquire takes a lease: token is the fencing token, or null if it was not to be had; then holder says who has it, and
-- retry_in after how long to ask again. With a waiter, an id that the client makes for each wish (gen_random_uuid()), the
-- client enters the queue and keeps its place by asking again with the same id, at least once in two seconds; when it is its
-- turn it gets the lease. LISTEN pgcoherence_lease brings the id as soon as that is so. An answer that was lost is asked for
-- again with the same id. lease_leave leaves the queue. Without a waiter nothing is waited for.
CREATE FUNCTION /*schema*/pgcoherence.lease_acquire(key text, owner text, ttl interval, waiter uuid DEFAULT NULL, meta jsonb DEFAULT NULL,
    OUT token bigint, OUT holder text, OUT retry_in interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    id  uuid := coalesce(waiter, gen_random_uuid());
    t   record;
    q   record;
    alive interval := interval '5 s';
BEGIN
    PERFORM /*schema*/pgcoherence.lease_check(key, owner, ttl, meta);

    -- The common case: the key is known, free, and has no queue.
    UPDATE /*schema*/pgcoherence.lease AS r
    SET token = nextval('/*schema*/pgcoherence.lease_token'), grant_id = id, owner = owner, meta = meta,
        since = clock_timestamp(), expires_at = clock_timestamp() + ttl, next_until = NULL, rev = r.rev + (random() < 0.015625)::integer
    WHERE r.ctid = (
        SELECT f.ctid FROM /*schema*/pgcoherence.lease AS f
        WHERE f.key || '' = key AND f.expires_at <= clock_timestamp() AND NOT f.queued AND f.next_id IS NULL
          AND f.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = key ORDER BY m.rev DESC LIMIT 1)
          AND EXISTS (SELECT FROM /*schema*/pgcoherence.incarnation_here())
        FOR UPDATE SKIP LOCKED
    )
    RETURNING r.token INTO token;
    IF token IS NOT NULL THEN
        RETURN;
    END IF;

    SELECT * INTO t FROM /*schema*/pgcoherence.lease_try(key, id, owner, ttl, meta, alive);
    IF t.placed IS NULL THEN
        PERFORM /*schema*/pgcoherence.raise_incarnation(false, 'another server');
        SELECT * INTO t FROM /*schema*/pgcoherence.lease_try(key, id, owner, ttl, meta, alive);
    END IF;
    IF t.granted IS NOT NULL THEN
        token := t.granted;
        RETURN;
    END IF;
    IF t.held THEN
        holder := t.owner;
    END IF;
    retry_in := interval '250 ms';
    IF waiter IS NOT NULL THEN
        PERFORM /*schema*/pgcoherence.lease_reap(key, alive, interval '2 s', '', NULL);
        UPDATE /*schema*/pgcoherence.lease_waiter AS w SET seen_at = clock_timestamp() WHERE w.id = waiter AND w.key = key;
        IF NOT FOUND THEN
            SELECT * INTO q FROM /*schema*/pgcoherence.lease_enqueue(key, waiter, owner, NULL, NULL, 'pgcoherence_lease', '');
            IF q.free THEN
                retry_in := interval '0';
            END IF;
        END IF;
        UPDATE /*schema*/pgcoherence.lease AS r SET next_until = clock_timestamp() + interval '2 s'
        WHERE r.key || '' = key AND r.next_id = waiter
          AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = key ORDER BY m.rev DESC LIMIT 1);
    END IF;
END
$$;

-- lease_acquire_shared takes a shared lease, which any number may hold beside one another while nobody has the key by
-- lease_acquire. It is called as lease_acquire is, and what it returns is renewed, released and guarded as other leases are.
CREATE FUNCTION /*schema*/pgcoherence.lease_acquire_shared(key text, owner text, ttl interval, waiter uuid DEFAULT NULL, meta jsonb DEFAULT NULL,
    OUT token bigint, OUT holder text, OUT retry_in interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    SELECT s.token, s.holder, s.retry_in INTO token, holder, retry_in
    FROM /*schema*/pgcoherence.share_acquire(key, 0, owner, ttl, waiter, meta) AS s;
END
$$;

-- semaphore_acquire takes one of max_holders places of a semaphore; see lease_acquire_shared. While somebody holds it, the
-- number is the one it was begun with; semaphore_resize changes it.
CREATE FUNCTION /*schema*/pgcoherence.semaphore_acquire(key text, max_holders integer, owner text, ttl interval, waiter uuid DEFAULT NULL,
    meta jsonb DEFAULT NULL, OUT token bigint, OUT holder text, OUT retry_in interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    IF max_holders IS NULL OR max_holders NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'semaphore: % holders, want 1 to 1000', max_holders USING ERRCODE = '22023';
    END IF;
    SELECT s.token, s.holder, s.retry_in INTO token, holder, retry_in
    FROM /*schema*/pgcoherence.share_acquire(key, max_holders, owner, ttl, waiter, meta) AS s;
END
$$;

-- semaphore_resize changes how many may hold a semaphore that somebody holds, and returns whether anybody does.
CREATE FUNCTION /*schema*/pgcoherence.semaphore_resize(key text, max_holders integer) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    IF max_holders IS NULL OR max_holders NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'semaphore: % holders, want 1 to 1000', max_holders USING ERRCODE = '22023';
    END IF;
    RETURN EXISTS (SELECT FROM /*schema*/pgcoherence.share_resize(key, max_holders, interval '5 s', interval '2 s', '', NULL));
END
$$;

-- share_acquire is what the two functions that take shares have in common.
CREATE FUNCTION /*schema*/pgcoherence.share_acquire(of_key text, max_holders integer, of_owner text, ttl interval, waiter uuid, of_meta jsonb,
    OUT token bigint, OUT holder text, OUT retry_in interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    id    uuid := coalesce(waiter, gen_random_uuid());
    t     record;
    q     record;
    alive interval := interval '5 s';
    claim interval := interval '2 s';
BEGIN
    PERFORM /*schema*/pgcoherence.lease_check(of_key, of_owner, ttl, of_meta);
    SELECT * INTO t FROM /*schema*/pgcoherence.share_try(of_key, id, of_owner, ttl, of_meta, alive, claim, max_holders, '', NULL);
    IF t.placed IS NULL THEN
        PERFORM /*schema*/pgcoherence.raise_incarnation(false, 'another server');
        SELECT * INTO t FROM /*schema*/pgcoherence.share_try(of_key, id, of_owner, ttl, of_meta, alive, claim, max_holders, '', NULL);
    END IF;
    IF t.granted IS NOT NULL THEN
        token := t.granted;
        RETURN;
    END IF;
    IF t.held THEN
        holder := t.owner;
    END IF;
    retry_in := interval '250 ms';
    IF waiter IS NOT NULL THEN
        PERFORM /*schema*/pgcoherence.lease_reap(of_key, alive, claim, '', NULL);
        UPDATE /*schema*/pgcoherence.lease_waiter AS w SET seen_at = clock_timestamp() WHERE w.id = waiter AND w.key = of_key;
        IF NOT FOUND THEN
            SELECT * INTO q FROM /*schema*/pgcoherence.lease_enqueue(of_key, waiter, of_owner, NULL, NULL, 'pgcoherence_lease', '', max_holders);
            IF q.free THEN
                retry_in := interval '0';
            END IF;
        END IF;
        UPDATE /*schema*/pgcoherence.lease AS r SET next_until = clock_timestamp() + claim
        WHERE r.key || '' = of_key AND r.next_id = waiter
          AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = of_key ORDER BY m.rev DESC LIMIT 1);
    END IF;
END
$$;

-- lease_leave leaves a queue, and gives back what the waiter may have been granted meanwhile.
CREATE FUNCTION /*schema*/pgcoherence.lease_leave(key text, waiter uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    PERFORM /*schema*/pgcoherence.leave_queues(ARRAY[key], ARRAY[waiter], interval '5 s', interval '2 s', '', NULL);
END
$$;

-- lease_renew makes a lease last for ttl from now on, and returns whether it was still held. Call it every third of the TTL;
-- false: stop, it is lost.
CREATE FUNCTION /*schema*/pgcoherence.lease_renew(key text, token bigint, ttl interval) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    tid   tid;
    until timestamptz;
BEGIN
    UPDATE /*schema*/pgcoherence.lease AS r SET expires_at = clock_timestamp() + ttl
    WHERE r.key || '' = key AND r.token = token AND r.expires_at > clock_timestamp()
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = key ORDER BY m.rev DESC LIMIT 1);
    IF FOUND THEN
        RETURN true;
    END IF;

    -- A share: never longer than its group.
    SELECT r.ctid INTO tid FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = key AND r.group_token = r.token AND r.token < token AND r.expires_at > clock_timestamp()
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = key ORDER BY m.rev DESC LIMIT 1)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    until := clock_timestamp() + ttl;
    UPDATE /*schema*/pgcoherence.lease_share AS s SET expires_at = until
    WHERE s.key = key AND s.token = token AND s.expires_at > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE /*schema*/pgcoherence.lease AS r SET expires_at = greatest(r.expires_at, until) WHERE r.ctid = tid;
    RETURN true;
END
$$;

-- lease_release gives a lease up and hands it to whoever has waited longest, and returns whether it was still held by this
-- token.
CREATE FUNCTION /*schema*/pgcoherence.lease_release(key text, token bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM /*schema*/pgcoherence.lease_give(key, token, interval '0', interval '5 s', interval '2 s', '', NULL))
        OR EXISTS (SELECT FROM /*schema*/pgcoherence.share_give(key, token, interval '0', interval '5 s', interval '2 s', '', NULL));
END
$$;

-- lease_guard ties the transaction it is called in to a lease: if it returns and the transaction commits, nobody else was
-- granted the lease before that; of a shared lease nobody alone, and of a semaphore nobody in its place. It raises 55000 if
-- the token does not hold the lease.
CREATE FUNCTION /*schema*/pgcoherence.lease_guard(key text, token bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM FROM /*schema*/pgcoherence.lease AS r
    WHERE r.key || '' = key AND r.token = token AND r.expires_at > clock_timestamp()
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = key ORDER BY m.rev DESC LIMIT 1)
    FOR KEY SHARE;
    IF FOUND THEN
        RETURN;
    END IF;
    PERFORM FROM /*schema*/pgcoherence.lease AS r
                 JOIN /*schema*/pgcoherence.lease_share AS s ON s.key = r.key AND s.token > r.token
    WHERE r.key || '' = key AND r.group_token = r.token AND r.expires_at > clock_timestamp()
      AND r.rev >= (SELECT m.rev FROM /*schema*/pgcoherence.lease AS m WHERE m.key || '' = key ORDER BY m.rev DESC LIMIT 1)
      AND s.key = key AND s.token = token AND s.expires_at > clock_timestamp()
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease %, token %, is not held', left(key, 80), token USING ERRCODE = '55000';
    END IF;
END
$$;
