-- Accounts: who may sign in. Kept for ever.
CREATE TABLE account (
    person       BYTEA NOT NULL PRIMARY KEY,
    address      TEXT NOT NULL,
    display_name TEXT NOT NULL,
    email        TEXT NOT NULL,
    secret       BYTEA NOT NULL,
    suspended    BIGINT NOT NULL
);

-- Every address that leads to a person; position 0 is the canonical one.
CREATE TABLE address (
    address  TEXT NOT NULL PRIMARY KEY,
    person   BYTEA NOT NULL REFERENCES account (person) ON DELETE CASCADE,
    position BIGINT NOT NULL
);
CREATE INDEX address_person ON address (person);

-- What a person stored about himself. Kept for ever.
CREATE TABLE property (
    person    BYTEA NOT NULL,
    namespace TEXT NOT NULL,
    local     TEXT NOT NULL,
    value     BYTEA NOT NULL,
    expires   BIGINT,
    PRIMARY KEY (person, namespace, local)
);

CREATE TABLE access_list (
    person BYTEA NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
);

-- Live state: deleting the rows of the four tables below costs a delay, never wrong data.
CREATE TABLE point (
    person  BYTEA NOT NULL,
    id      BIGINT NOT NULL,
    stack   TEXT NOT NULL,
    since   BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    handle  BYTEA NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (person, id)
);

CREATE TABLE publication (
    person  BYTEA NOT NULL,
    id      BIGINT NOT NULL,
    version BIGINT NOT NULL,
    stack   TEXT NOT NULL,
    expires BIGINT,
    body    TEXT NOT NULL,
    PRIMARY KEY (person, id)
);

CREATE TABLE watch (
    person  BYTEA NOT NULL,
    id      BIGINT NOT NULL,
    stack   TEXT NOT NULL,
    watcher TEXT NOT NULL,
    expires BIGINT NOT NULL,
    handle  BYTEA NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (person, id)
);

CREATE TABLE kept (
    person   BYTEA NOT NULL,
    message  BYTEA NOT NULL,
    expires  BIGINT NOT NULL,
    original BYTEA NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (person, message)
);

-- Numbers given out so far, in blocks; one row. They start at 1001 and are never used twice.
CREATE TABLE number (
    one  BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    next BIGINT NOT NULL
);
INSERT INTO number (one, next) VALUES (1, 1001);
