-- Accounts: who may sign in. Kept for ever.
CREATE TABLE account (
    person       BLOB NOT NULL PRIMARY KEY,
    address      TEXT NOT NULL,
    display_name TEXT NOT NULL,
    email        TEXT NOT NULL,
    secret       BLOB NOT NULL,
    suspended    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every address that leads to a person; position 0 is the canonical one.
CREATE TABLE address (
    address  TEXT NOT NULL PRIMARY KEY,
    person   BLOB NOT NULL REFERENCES account (person) ON DELETE CASCADE,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX address_person ON address (person);

-- What a person stored about himself. Kept for ever.
CREATE TABLE property (
    person    BLOB NOT NULL,
    namespace TEXT NOT NULL,
    local     TEXT NOT NULL,
    value     BLOB NOT NULL,
    expires   INTEGER,
    PRIMARY KEY (person, namespace, local)
) STRICT, WITHOUT ROWID;

CREATE TABLE access_list (
    person BLOB NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Live state: deleting the rows of the four tables below costs a delay, never wrong data.
CREATE TABLE point (
    person  BLOB NOT NULL,
    id      INTEGER NOT NULL,
    stack   TEXT NOT NULL,
    since   INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    handle  BLOB NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (person, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE publication (
    person  BLOB NOT NULL,
    id      INTEGER NOT NULL,
    version INTEGER NOT NULL,
    stack   TEXT NOT NULL,
    expires INTEGER,
    body    TEXT NOT NULL,
    PRIMARY KEY (person, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE watch (
    person  BLOB NOT NULL,
    id      INTEGER NOT NULL,
    stack   TEXT NOT NULL,
    watcher TEXT NOT NULL,
    expires INTEGER NOT NULL,
    handle  BLOB NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (person, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept (
    person   BLOB NOT NULL,
    message  BLOB NOT NULL,
    expires  INTEGER NOT NULL,
    original BLOB NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (person, message)
) STRICT, WITHOUT ROWID;

-- Numbers given out so far, in blocks; one row. They start at 1001 and are never used twice.
CREATE TABLE number (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    next INTEGER NOT NULL
) STRICT;
INSERT INTO number (one, next) VALUES (1, 1001);
