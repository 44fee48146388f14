-- Nodes beyond people: empty for a person, else a JSON body (owner, members).
ALTER TABLE account ADD COLUMN node TEXT NOT NULL DEFAULT '';
-- Where operators want a node's notifications sent to. Kept for ever.
CREATE TABLE target (
    person BLOB NOT NULL,
    id     INTEGER NOT NULL,
    secret BLOB NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (person, id)
) STRICT, WITHOUT ROWID;

-- What waits for a target; deleting a row loses that notification.
CREATE TABLE backlog (
    person   BLOB NOT NULL,
    target   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    added    INTEGER NOT NULL,
    content  BLOB NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (person, target, sequence)
) STRICT, WITHOUT ROWID;
