-- The application's own table, and what makes writers that know nothing of pods heard by them.
CREATE TABLE account (
    id      text   PRIMARY KEY,
    balance bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1
);

-- The database counts versions, so that a plain UPDATE cannot forget to.
CREATE FUNCTION account_count_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER account_version BEFORE UPDATE ON account
    FOR EACH ROW EXECUTE FUNCTION account_count_version();

-- One call per statement, however many rows it changed. A table whose rows are deleted, or change their key, needs the
-- same for OLD TABLE.
CREATE FUNCTION account_tell_pods() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pgcoherence.invalidate('accounts', VARIADIC (SELECT array_agg(id) FROM changed));
    RETURN NULL;
END
$$;
-- Not for the pods, which publish by themselves and say so on their connections: what is published twice is announced by
-- the one and found by the sweep, later, because of the other.
CREATE TRIGGER account_changed AFTER UPDATE ON account
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT WHEN (coalesce(current_setting('pods.publish', true), '') <> 'on') EXECUTE FUNCTION account_tell_pods();

-- Off but for its own chapter: the others have to hold by what the pods do themselves.
ALTER TABLE account DISABLE TRIGGER account_changed;
