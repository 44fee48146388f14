-- The archive: append-only, chained by `link`; a body that was erased is empty, its row stays.
CREATE TABLE archive (
    seq  BIGINT NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL,
    head TEXT NOT NULL,
    body BYTEA NOT NULL,
    link BYTEA NOT NULL
);

-- The words of rows, made by us. Derived: may be emptied and made again.
CREATE TABLE archive_words (
    seq   BIGINT NOT NULL PRIMARY KEY,
    words TSVECTOR NOT NULL
);
CREATE INDEX archive_words_words ON archive_words USING GIN (words);
CREATE TABLE archive_indexed (
    one  BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    upto BIGINT NOT NULL
);
INSERT INTO archive_indexed (one, upto) VALUES (1, 0);

-- Legal holds: they beat retention.
CREATE TABLE archive_hold (
    name  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    value TEXT NOT NULL,
    since BIGINT NOT NULL,
    who   TEXT NOT NULL,
    why   TEXT NOT NULL,
    PRIMARY KEY (name, kind, value)
);
