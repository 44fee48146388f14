-- When a person's presence last changed with watchers to be told: those who changed just before a
-- crash have their watchers told again.
CREATE TABLE presence_change (
    person BYTEA NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL
);
