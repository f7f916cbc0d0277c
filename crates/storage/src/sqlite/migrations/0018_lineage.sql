-- What tells the file from an older copy of itself: one row. A file beside it keeps the same.

CREATE TABLE lineage (
    one       INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id        TEXT    NOT NULL,
    -- Raised whenever a server starts, and each minute while it serves.
    mark      INTEGER NOT NULL,
    -- When it was last put back from a backup and fenced.
    fenced_at INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO lineage VALUES (1, lower(hex(randomblob(16))), 0, NULL);
