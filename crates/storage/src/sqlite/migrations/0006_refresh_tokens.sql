-- Refresh tokens: what one login may be continued with. No token is here, nor anything a token can be made of without the key.

-- No foreign key: who presents a token of an account that is gone is told so.
CREATE TABLE refresh_family (
    id               BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id          TEXT    NOT NULL,
    client_id        TEXT    NOT NULL,
    audience         TEXT    NOT NULL,
    -- Separated by blanks, as in the claim `scope`.
    scopes           TEXT    NOT NULL,
    epoch            INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    -- Separated by blanks.
    methods          TEXT    NOT NULL,
    salt             BLOB    NOT NULL CHECK (length(salt) = 16),
    generation       INTEGER NOT NULL,
    rotated_at       INTEGER NOT NULL,
    used_at          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER,
    sweep_at         INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_family_of_client ON refresh_family (user_id, client_id, created_at);
CREATE INDEX refresh_family_sweep ON refresh_family (sweep_at) WHERE sweep_at IS NOT NULL;
