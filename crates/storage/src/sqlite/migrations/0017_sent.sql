-- How many messages were sent on a day, by whom and where to: what bounds their cost even if the session store forgets its budgets.

CREATE TABLE sent (
    -- In UTC, counted from the Unix epoch.
    day     INTEGER NOT NULL,
    -- What is counted, with a keyed digest of whom or where. A country is named: it is nobody's.
    counter TEXT    NOT NULL,
    n       INTEGER NOT NULL CHECK (n > 0),
    PRIMARY KEY (day, counter)
) STRICT, WITHOUT ROWID;
