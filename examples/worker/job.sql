-- The application's own tables. A job is done when somebody has written it; two tokens in one row are two owners who
-- both did it.
CREATE TABLE job (
    shard   integer  NOT NULL,
    id      integer  NOT NULL,
    workers text[]   NOT NULL DEFAULT '{}',
    tokens  bigint[] NOT NULL DEFAULT '{}', -- of the leases under which it was written
    PRIMARY KEY (shard, id)
);

-- What a guard refused, to tell of it.
CREATE TABLE refusal (
    worker text    NOT NULL,
    shard  integer NOT NULL,
    id     integer NOT NULL,
    token  bigint  NOT NULL
);
