-- Notices: where they go, how they wait, and the links in them.

-- One address a line.
ALTER TABLE user ADD COLUMN notification_addresses TEXT NOT NULL DEFAULT '';

-- Whether somebody waits for the message. Those of older versions are codes.
ALTER TABLE outbox ADD COLUMN awaited INTEGER NOT NULL DEFAULT 1 CHECK (awaited IN (0, 1));

-- A notice may wait for days; who asks whether codes get through passes over it.
DROP INDEX outbox_oldest;
CREATE INDEX outbox_oldest ON outbox (channel, awaited, created_at, expires_at);

-- The link of a notice that tells of a new authenticator, and goes with it. No index for sweeping: rows are few, and sweeping is rare.
CREATE TABLE repudiation (
    user_id       TEXT    NOT NULL,
    authenticator TEXT    NOT NULL,
    -- Of the token, which is kept nowhere.
    digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    expires_at    INTEGER NOT NULL,
    PRIMARY KEY (user_id, authenticator),
    FOREIGN KEY (user_id, authenticator) REFERENCES authenticator (user_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
