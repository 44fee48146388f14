-- Messages that a filter holds until an operator decides.
CREATE TABLE held (
    person   BLOB    NOT NULL,
    message  BLOB    NOT NULL,
    expires  INTEGER NOT NULL,
    original BLOB    NOT NULL,
    body     TEXT    NOT NULL,
    filter   TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    scheme   TEXT    NOT NULL,
    PRIMARY KEY (person, message)
) STRICT, WITHOUT ROWID;
