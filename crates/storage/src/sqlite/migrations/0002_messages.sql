-- Codes that are sent: authenticators with an address, the challenges behind their codes, and messages that wait to be sent.

-- What authenticators that were enrolled together share.
ALTER TABLE authenticator ADD COLUMN pair TEXT;
-- Keyed digest of the number or address.
ALTER TABLE authenticator ADD COLUMN address BLOB CHECK (length(address) = 32);

CREATE INDEX authenticator_address ON authenticator (address) WHERE address IS NOT NULL;

ALTER TABLE user ADD COLUMN address_failures INTEGER NOT NULL DEFAULT 0;

-- One a slot: a newer challenge takes the place of the earlier one. No index for sweeping, as with transactions.
CREATE TABLE challenge (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    slot       BLOB    NOT NULL UNIQUE CHECK (length(slot) = 32),
    sealed     BLOB    NOT NULL,
    -- Tries that are left; -1 once somebody has asked for one more than there were.
    tries      INTEGER NOT NULL CHECK (tries >= -1),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id         TEXT    NOT NULL PRIMARY KEY,
    channel    TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    attempts   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Both end with the time of expiry, so that rows nobody has swept yet are passed over without being read. The second does not change
-- when a row is claimed.
CREATE INDEX outbox_due ON outbox (due_at, expires_at);
CREATE INDEX outbox_oldest ON outbox (channel, created_at, expires_at);
