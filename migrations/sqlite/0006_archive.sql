-- The archive: append-only, chained by `link`; a body that was erased is empty, its row stays.
CREATE TABLE archive (
    seq  INTEGER NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL,
    head TEXT NOT NULL,
    body BLOB NOT NULL,
    link BLOB NOT NULL
) STRICT;

-- The words of rows, made by us: separated by spaces, only ASCII letters and digits and characters
-- beyond ASCII. Derived: may be emptied and made again.
CREATE VIRTUAL TABLE archive_words USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = 'ascii'
);
CREATE TABLE archive_indexed (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    upto INTEGER NOT NULL
) STRICT;
INSERT INTO archive_indexed (one, upto) VALUES (1, 0);

-- Legal holds: they beat retention.
CREATE TABLE archive_hold (
    name  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    value TEXT NOT NULL,
    since INTEGER NOT NULL,
    who   TEXT NOT NULL,
    why   TEXT NOT NULL,
    PRIMARY KEY (name, kind, value)
) STRICT, WITHOUT ROWID;
