-- The application's own tables: who may log in, and by which account at which provider.
CREATE TABLE member (
    name     text    PRIMARY KEY,
    full_name text   NOT NULL,
    password text    NOT NULL, -- by bcrypt
    disabled boolean NOT NULL DEFAULT false
);

CREATE TABLE identity (
    issuer  text NOT NULL,
    subject text NOT NULL, -- what the provider calls the person
    member  text NOT NULL REFERENCES member,
    PRIMARY KEY (issuer, subject)
);
