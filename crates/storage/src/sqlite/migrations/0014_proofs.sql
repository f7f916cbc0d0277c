-- From which networks a person completed a second factor, and when. It counts for as long as the account has the same epoch.

CREATE TABLE proof (
    user_id   TEXT    NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    -- Keyed digest of person and network; empty where the address was not known.
    network   BLOB    NOT NULL CHECK (length(network) IN (0, 32)),
    strength  INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    proven_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, network, strength)
) STRICT, WITHOUT ROWID;

-- How many time steps the clock of an app is ahead, as far as that was learned.
ALTER TABLE authenticator ADD COLUMN drift INTEGER NOT NULL DEFAULT 0 CHECK (drift BETWEEN -2 AND 2);
