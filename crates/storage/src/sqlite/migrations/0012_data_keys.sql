-- Data keys: what everything is sealed with that must be read again. A sealed value names its key in its bytes 3 to 10.

CREATE TABLE data_key (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 8),
    -- Sealed itself. Empty for the key that follows from the operator's, and once a key is dropped.
    wrapped    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    seals_from INTEGER NOT NULL,
    dropped_at INTEGER
) STRICT, WITHOUT ROWID;

-- Nothing gets in under a key that was dropped, however long its writer was held up.
CREATE TRIGGER authenticator_sealed_in BEFORE INSERT ON authenticator
WHEN EXISTS (SELECT 1 FROM data_key WHERE id = substr(NEW.state, 3, 8) AND dropped_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'sealed with a data key that was dropped'); END;

CREATE TRIGGER authenticator_sealed_anew BEFORE UPDATE OF state ON authenticator
WHEN EXISTS (SELECT 1 FROM data_key WHERE id = substr(NEW.state, 3, 8) AND dropped_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'sealed with a data key that was dropped'); END;

CREATE TRIGGER signing_key_sealed_in BEFORE INSERT ON signing_key
WHEN EXISTS (SELECT 1 FROM data_key WHERE id = substr(NEW.sealed, 3, 8) AND dropped_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'sealed with a data key that was dropped'); END;

CREATE TRIGGER signing_key_sealed_anew BEFORE UPDATE OF sealed ON signing_key
WHEN EXISTS (SELECT 1 FROM data_key WHERE id = substr(NEW.sealed, 3, 8) AND dropped_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'sealed with a data key that was dropped'); END;

CREATE TRIGGER outbox_sealed_in BEFORE INSERT ON outbox
WHEN EXISTS (SELECT 1 FROM data_key WHERE id = substr(NEW.sealed, 3, 8) AND dropped_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'sealed with a data key that was dropped'); END;

CREATE TRIGGER outbox_sealed_anew BEFORE UPDATE OF sealed ON outbox
WHEN EXISTS (SELECT 1 FROM data_key WHERE id = substr(NEW.sealed, 3, 8) AND dropped_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'sealed with a data key that was dropped'); END;
