-- Documents that people's clients keep here, whole; their octets apart, because people are loaded
-- without them. Contact lists are what those documents come to.
CREATE TABLE document (
    person BYTEA NOT NULL,
    usage  TEXT NOT NULL,
    name   TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (person, usage, name)
);

CREATE TABLE document_content (
    person BYTEA NOT NULL,
    usage  TEXT NOT NULL,
    name   TEXT NOT NULL,
    octets BYTEA NOT NULL,
    PRIMARY KEY (person, usage, name)
);

CREATE INDEX document_usage ON document (usage);

CREATE TABLE contact_list (
    person BYTEA NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
);
