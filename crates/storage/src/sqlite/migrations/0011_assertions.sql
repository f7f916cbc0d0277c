-- Assertions of clients that were used: each is good once.

CREATE TABLE used_assertion (
    digest   BLOB    NOT NULL PRIMARY KEY,
    sweep_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_assertion_by_sweep ON used_assertion (sweep_at);
