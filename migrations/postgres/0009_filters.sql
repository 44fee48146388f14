-- Messages that a filter holds until an operator decides.
CREATE TABLE held (
    person   BYTEA   NOT NULL,
    message  BYTEA   NOT NULL,
    expires  BIGINT  NOT NULL,
    original BYTEA   NOT NULL,
    body     TEXT    NOT NULL,
    filter   TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    scheme   TEXT    NOT NULL,
    PRIMARY KEY (person, message)
);
