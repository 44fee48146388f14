-- Nodes beyond people: empty for a person, else a JSON body (owner, members).
ALTER TABLE account ADD COLUMN node TEXT NOT NULL DEFAULT '';
-- Where operators want a node's notifications sent to. Kept for ever.
CREATE TABLE target (
    person BYTEA NOT NULL,
    id     BIGINT NOT NULL,
    secret BYTEA NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (person, id)
);

-- What waits for a target; deleting a row loses that notification.
CREATE TABLE backlog (
    person   BYTEA NOT NULL,
    target   BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    added    BIGINT NOT NULL,
    content  BYTEA NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (person, target, sequence)
);
