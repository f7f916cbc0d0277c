-- Accounts, factors, marks, keys, the audit trail, and short-lived state where no other session store is configured.
-- Times are milliseconds since the Unix epoch. Text compares byte by byte.

CREATE TABLE user (
    id                TEXT    NOT NULL PRIMARY KEY,
    realm             TEXT    NOT NULL,
    username          TEXT    NOT NULL,
    email             TEXT,
    email_verified    INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    name              TEXT,
    given_name        TEXT,
    family_name       TEXT,
    picture           TEXT,
    password          TEXT    NOT NULL,
    blocked           INTEGER NOT NULL CHECK (blocked IN (0, 1)),
    epoch             INTEGER NOT NULL,
    tokens_valid_from INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX user_in_order ON user (realm, username);

-- Usernames and addresses share one space, so a username cannot be another person's address.
CREATE TABLE login_name (
    realm   TEXT NOT NULL,
    name    TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    PRIMARY KEY (realm, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX login_name_of_user ON login_name (user_id);

-- The owner comes first in the key: what is read together lies together.
CREATE TABLE authenticator (
    user_id       TEXT    NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    id            TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'disabled')),
    pending_until INTEGER CHECK ((pending_until IS NOT NULL) = (status = 'pending')),
    -- Digest of the token the enrolment was begun with.
    bearer        BLOB    CHECK ((bearer IS NOT NULL) = (status = 'pending')),
    state         BLOB    NOT NULL,
    name          TEXT,
    preferred     INTEGER NOT NULL CHECK (preferred IN (0, 1)),
    last_step     INTEGER,
    failures      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    confirmed_at  INTEGER,
    last_used_at  INTEGER,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX authenticator_preferred ON authenticator (user_id) WHERE preferred = 1;
CREATE INDEX authenticator_pending ON authenticator (pending_until) WHERE status = 'pending';

-- Used codes stay as rows until the factors of the person are removed.
CREATE TABLE recovery_code (
    user_id    TEXT    NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    id         TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'disabled')),
    bearer     BLOB    CHECK ((bearer IS NOT NULL) = (status = 'pending')),
    failures   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    used_at    INTEGER,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX recovery_code_unused ON recovery_code (user_id) WHERE used_at IS NULL AND status <> 'pending';
CREATE UNIQUE INDEX recovery_code_pending ON recovery_code (user_id, bearer) WHERE status = 'pending';

-- The same thing always has the same time to be swept at, so that time can come first: what is marked together lies together, and
-- no index is needed to sweep.
CREATE TABLE consumed (
    sweep_at INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    id       BLOB    NOT NULL,
    PRIMARY KEY (sweep_at, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
    id         TEXT    NOT NULL PRIMARY KEY,
    algorithm  TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No foreign key: the trail outlives what it is about.
CREATE TABLE audit (
    id            INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    event         TEXT    NOT NULL,
    user_id       TEXT    NOT NULL,
    client_id     TEXT,
    authenticator TEXT,
    address       TEXT
) STRICT;

CREATE TABLE mfa_transaction (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    sealed     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    exhausted  INTEGER NOT NULL CHECK (exhausted IN (0, 1))
) STRICT, WITHOUT ROWID;

-- A full bucket has no row. No indexes for sweeping, here and above: they would cost every login, and sweeping is rare.
CREATE TABLE bucket (
    subject BLOB    NOT NULL CHECK (length(subject) = 32),
    counter TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    last    BLOB,
    full_at INTEGER NOT NULL,
    PRIMARY KEY (subject, counter)
) STRICT, WITHOUT ROWID;
