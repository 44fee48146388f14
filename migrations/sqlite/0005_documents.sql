-- Documents that people's clients keep here, whole; their octets apart, because people are loaded
-- without them. Contact lists are what those documents come to.
CREATE TABLE document (
    person BLOB NOT NULL,
    usage  TEXT NOT NULL,
    name   TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (person, usage, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE document_content (
    person BLOB NOT NULL,
    usage  TEXT NOT NULL,
    name   TEXT NOT NULL,
    octets BLOB NOT NULL,
    PRIMARY KEY (person, usage, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX document_usage ON document (usage);

CREATE TABLE contact_list (
    person BLOB NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
