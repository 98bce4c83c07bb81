-- Sessions. Everything here is the truth and therefore logged: nothing can be made anew from elsewhere.

-- One row per user who ever logged in: all sessions of the user are valid that carry the row's generation. Ending all of
-- them is one UPDATE here, which a login under way cannot slip past: its session carries the generation that was read
-- before its credentials were checked. No row means generation 0.
CREATE TABLE /*schema*/pgcoherence.session_user (
    user_id    text        PRIMARY KEY CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    gen        bigint      NOT NULL DEFAULT 0,
    -- What cached sessions of this user are tagged with. Random, so that a notification tells nobody who it is about.
    tag        uuid        NOT NULL DEFAULT gen_random_uuid(),
    ended_at   timestamptz -- when all sessions were last ended
) WITH (fillfactor = 80);

-- One row per session; rotation changes its key and not its row. A session that was revoked stays, without its data,
-- until an hour after its deadline: nothing that still holds it can make it valid again.
CREATE TABLE /*schema*/pgcoherence.session (
    -- SHA-256 of the token in two halves: the row is found by the first and proven by the second. Only the first ever
    -- leaves the database's and the pods' memory, as the key of notifications.
    key              bytea       PRIMARY KEY CHECK (octet_length(key) = 16),
    proof            bytea       NOT NULL CHECK (octet_length(proof) = 16),
    -- The token before the last periodic rotation, honoured until prev_until.
    prev_key         bytea,
    prev_proof       bytea,
    prev_until       timestamptz,
    id               uuid        NOT NULL, -- public: for lists, logs, support
    user_id          text,                 -- null: nobody has logged in
    gen              bigint      NOT NULL DEFAULT 0,
    version          bigint      NOT NULL DEFAULT 1, -- of data
    last_write       uuid        NOT NULL,           -- by which a writer knows its own write when the answer was lost
    data             bytea       NOT NULL,
    -- The key of data, wrapped by a key derived from the token, and by one from the previous token in its grace.
    wrapped          bytea,
    prev_wrapped     bytea,
    idle             interval    CHECK (idle > interval '0'), -- null: no idle timeout
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    authenticated_at timestamptz,
    rotated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at       timestamptz NOT NULL,
    last_seen        timestamptz NOT NULL DEFAULT clock_timestamp(), -- never indexed: touches stay heap-only
    revoked_at       timestamptz,
    revoke_reason    text,
    issuer           text,
    sid              text,
    device           jsonb       NOT NULL DEFAULT '{}'
) WITH (fillfactor = 80); -- room for the touches of a page

-- A rotation's old token is looked up like a current one.
CREATE UNIQUE INDEX session_prev_key ON /*schema*/pgcoherence.session (prev_key) WHERE prev_key IS NOT NULL;
-- By public id. Not unique over all rows: frameworks that make their own tokens give a renewed session a new row, which
-- keeps the id of the old, revoked one.
CREATE UNIQUE INDEX session_id ON /*schema*/pgcoherence.session (id) WHERE revoked_at IS NULL;
CREATE INDEX session_any_id ON /*schema*/pgcoherence.session (id);
-- Lists and limits of one user.
CREATE INDEX session_by_user ON /*schema*/pgcoherence.session (user_id, created_at) WHERE revoked_at IS NULL AND user_id IS NOT NULL;
-- The expiry sweep. The deadline changes only when somebody logs in again.
CREATE INDEX session_expires_at ON /*schema*/pgcoherence.session (expires_at);
-- Back-channel logout.
CREATE INDEX session_sid ON /*schema*/pgcoherence.session (issuer, sid) WHERE sid IS NOT NULL;

-- Logouts that an identity provider has announced. A login that was under way when the logout came finds it here.
CREATE TABLE /*schema*/pgcoherence.session_logout (
    issuer   text        NOT NULL,
    sid      text        NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (issuer, sid)
);
CREATE INDEX session_logout_ended_at ON /*schema*/pgcoherence.session_logout (ended_at);

-- Values that can be taken once: OAuth state, nonces, PKCE verifiers, links to reset a password.
CREATE TABLE /*schema*/pgcoherence.one_time (
    hash       bytea       PRIMARY KEY CHECK (octet_length(hash) = 32), -- SHA-256 of the value and its kind
    binding    bytea,                                                   -- SHA-256 of the browser's secret
    data       bytea       NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX one_time_expires_at ON /*schema*/pgcoherence.one_time (expires_at);
