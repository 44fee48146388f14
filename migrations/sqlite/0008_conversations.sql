-- Conversations of more than two: who is in. Live state: without it people go on in pairs.
CREATE TABLE conversation (
    person BLOB NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
