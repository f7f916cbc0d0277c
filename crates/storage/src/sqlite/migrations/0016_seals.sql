-- How often each data key may have sealed: processes take seals from here in blocks, before they use them.

-- No foreign key: the key that follows from the operator's is no row of data_key before there is a second one.
CREATE TABLE data_key_seals (
    id    BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 8),
    taken INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
