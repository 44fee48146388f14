-- What holds for a person's devices: delivery policy, operators' pins, pairs that were parted.
CREATE TABLE device (
    person BLOB NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
