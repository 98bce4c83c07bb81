-- Generations that are never given twice, rotations whose answer may be lost, a sweep that reads an index. Pods of the
-- version before go on working beside it: their statements meet the defaults and triggers below.

-- The numbers of generations. The low 20 bits are room for the version before, which adds 1 when it ends all sessions of
-- a user: what it makes is the user's alone as well. Bit 19 marks numbers that no session carries: a login that began
-- while there was no row of its user.
CREATE SEQUENCE /*schema*/pgcoherence.session_generation AS bigint MAXVALUE 8796093022207;

CREATE FUNCTION /*schema*/pgcoherence.next_generation() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_catalog.nextval('/*schema*/pgcoherence.session_generation'::pg_catalog.regclass) << 20 $$;
REVOKE ALL ON FUNCTION /*schema*/pgcoherence.next_generation() FROM PUBLIC;

-- One row: what all pods share.
CREATE TABLE /*schema*/pgcoherence.session_state (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    -- What a login carries whose user has no row: it is refused when all sessions of all users were ended since.
    floor     bigint      NOT NULL DEFAULT 0,
    -- By which pods seal rows in a second level of cache.
    tier_key  bytea       NOT NULL DEFAULT sha256((gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text)::bytea)
);
INSERT INTO /*schema*/pgcoherence.session_state DEFAULT VALUES;

-- One row: the last sweep of any pod, how many valid sessions it found, and the page of the table session up to which
-- sweeps have read it in this round.
CREATE TABLE /*schema*/pgcoherence.session_sweep (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    swept_at  timestamptz NOT NULL DEFAULT '-infinity',
    active    bigint,
    walked_to bigint      NOT NULL DEFAULT 0
);
INSERT INTO /*schema*/pgcoherence.session_sweep DEFAULT VALUES;

-- Users who were deleted a short while ago: a login that began before finds its number gone. Hashes, not names.
CREATE TABLE /*schema*/pgcoherence.session_forgotten (
    user_hash bytea       PRIMARY KEY, -- SHA-256 of the user's id
    gen       bigint      NOT NULL,    -- what a login carries that begins now
    at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX session_forgotten_at ON /*schema*/pgcoherence.session_forgotten (at);

-- opened_by: what the logins carry that began before the row was there and may join it; none may once the user's sessions
-- were ended. unswept: sessions of older generations are still to be emptied.
ALTER TABLE /*schema*/pgcoherence.session_user
    ADD COLUMN opened_by bigint,
    ADD COLUMN unswept   boolean NOT NULL DEFAULT false,
    ADD COLUMN ended_by  text;
CREATE INDEX session_user_unswept ON /*schema*/pgcoherence.session_user (user_id) WHERE unswept;

-- Makes the row of a user who logs in for the first time, and returns its number; null if the user was deleted, or all
-- sessions of all users ended, since the login began (number). Logins share two locks that the deletion of the user and
-- the end of all sessions have alone: whichever comes second sees what the first has done. That is why this is a function:
-- each of its statements has a snapshot of its own, taken after the wait.
CREATE FUNCTION /*schema*/pgcoherence.session_enter(who text, number bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hash    CONSTANT bytea := sha256(convert_to(who, 'UTF8'));
    entered bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7303016);
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(who, 7303016));

    -- A snapshot from before the wait does not see what has happened in it. These two fail then (40001).
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM FROM /*schema*/pgcoherence.session_state FOR SHARE;
        INSERT INTO /*schema*/pgcoherence.session_forgotten (user_hash, gen) VALUES (hash, 0) ON CONFLICT (user_hash) DO NOTHING;
        DELETE FROM /*schema*/pgcoherence.session_forgotten AS f WHERE f.user_hash = hash AND f.gen = 0;
    END IF;

    INSERT INTO /*schema*/pgcoherence.session_user (user_id, gen, opened_by)
    SELECT who, /*schema*/pgcoherence.next_generation(), number
    WHERE number = greatest(
        (SELECT f.gen FROM /*schema*/pgcoherence.session_forgotten AS f WHERE f.user_hash = hash),
        (SELECT t.floor FROM /*schema*/pgcoherence.session_state AS t), 0)
    ON CONFLICT (user_id) DO NOTHING;

    SELECT u.gen INTO entered FROM /*schema*/pgcoherence.session_user AS u
    WHERE u.user_id = who AND (u.gen = number OR u.opened_by = number);
    RETURN entered;
END $$;
REVOKE ALL ON FUNCTION /*schema*/pgcoherence.session_enter(text, bigint) FROM PUBLIC;

CREATE FUNCTION /*schema*/pgcoherence.session_user_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Only the version before inserts so small a number. A user who was deleted does not begin with it again.
    IF EXISTS (SELECT FROM /*schema*/pgcoherence.session_forgotten AS f WHERE f.user_hash = sha256(convert_to(NEW.user_id, 'UTF8'))) THEN
        NEW.gen := /*schema*/pgcoherence.next_generation();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER session_user_inserted BEFORE INSERT ON /*schema*/pgcoherence.session_user
    FOR EACH ROW WHEN (NEW.gen < 1048576) EXECUTE FUNCTION /*schema*/pgcoherence.session_user_inserted();

CREATE FUNCTION /*schema*/pgcoherence.session_user_ended() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.opened_by := NULL;
    NEW.unswept := true;
    RETURN NEW;
END $$;
CREATE TRIGGER session_user_ended BEFORE UPDATE ON /*schema*/pgcoherence.session_user
    FOR EACH ROW WHEN (OLD.gen IS DISTINCT FROM NEW.gen) EXECUTE FUNCTION /*schema*/pgcoherence.session_user_ended();

CREATE FUNCTION /*schema*/pgcoherence.session_user_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO /*schema*/pgcoherence.session_forgotten (user_hash, gen)
    VALUES (sha256(convert_to(OLD.user_id, 'UTF8')), /*schema*/pgcoherence.next_generation() | 524288)
    ON CONFLICT (user_hash) DO UPDATE SET gen = EXCLUDED.gen, at = EXCLUDED.at;
    RETURN NULL;
END $$;
CREATE TRIGGER session_user_deleted AFTER DELETE ON /*schema*/pgcoherence.session_user
    FOR EACH ROW EXECUTE FUNCTION /*schema*/pgcoherence.session_user_deleted();

ALTER TABLE /*schema*/pgcoherence.session
    -- From the token before and this the current one can be derived: whoever asks again for a rotation whose answer was
    -- lost is given the same token. Null: the current one is random.
    ADD COLUMN next_salt    bytea,
    -- How long the token before goes on after the current one's first use; null once that was seen, and then prev_until
    -- is final.
    ADD COLUMN prev_grace   interval,
    ADD COLUMN last_address text, -- where the last recorded use came from
    ADD COLUMN revoked_by   text,
    -- When the sweep looks the row up, once: an hour after it was ended, or would be idle if it were never used. Null: the
    -- index of deadlines leads to it, and the sweep that reads the whole table in the course of a day. So a session in use
    -- is not written for the sweep's sake.
    ADD COLUMN sweep_at     timestamptz;
ALTER TABLE /*schema*/pgcoherence.session ALTER COLUMN sweep_at SET DEFAULT clock_timestamp() + interval '90 minutes';
CREATE INDEX session_sweep_at ON /*schema*/pgcoherence.session (sweep_at) WHERE sweep_at IS NOT NULL;

-- What no statement may do to a row, whichever version of the program sends it: the row is then left as it is, as if it
-- had not matched.
CREATE FUNCTION /*schema*/pgcoherence.session_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Give it a generation that is not its user's.
    IF NEW.user_id IS NOT NULL AND (NEW.gen, NEW.user_id) IS DISTINCT FROM (OLD.gen, OLD.user_id)
        AND NEW.gen IS DISTINCT FROM (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = NEW.user_id) THEN
        RETURN NULL;
    END IF;
    -- Encrypt its data for the holder of one token while another one reads it, too.
    IF OLD.wrapped IS NULL AND NEW.wrapped IS NOT NULL AND NEW.key = OLD.key AND OLD.prev_until > clock_timestamp() THEN
        RETURN NULL;
    END IF;
    -- Replace its token and lose the key of its data.
    IF OLD.wrapped IS NOT NULL AND NEW.wrapped IS NULL AND NEW.key <> OLD.key THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER session_kept BEFORE UPDATE ON /*schema*/pgcoherence.session
    FOR EACH ROW WHEN (
        NEW.revoked_at IS NULL AND (
            OLD.gen IS DISTINCT FROM NEW.gen OR OLD.user_id IS DISTINCT FROM NEW.user_id
            OR (OLD.wrapped IS NULL) <> (NEW.wrapped IS NULL)
        )
    ) EXECUTE FUNCTION /*schema*/pgcoherence.session_kept();

-- Sessions that could become valid when their user's number reaches theirs.
UPDATE /*schema*/pgcoherence.session AS s
SET revoked_at = clock_timestamp(), revoke_reason = 'user', data = '', wrapped = NULL, prev_wrapped = NULL, version = s.version + 1
WHERE s.user_id IS NOT NULL AND s.revoked_at IS NULL
    AND NOT EXISTS (SELECT FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id AND u.gen >= s.gen);
