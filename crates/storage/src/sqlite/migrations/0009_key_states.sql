-- Signing keys have states: next, current, previous, retired.

-- Of the keys there are, the newest of each algorithm signs; there was never a second one.
ALTER TABLE signing_key ADD COLUMN state TEXT NOT NULL DEFAULT 'current'
    CHECK (state IN ('next', 'current', 'previous', 'retired'));
-- When it came into its state.
ALTER TABLE signing_key ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;

UPDATE signing_key SET changed_at = created_at;
UPDATE signing_key AS older SET state = 'previous' WHERE EXISTS
    (SELECT 1 FROM signing_key AS newer WHERE newer.algorithm = older.algorithm
     AND (newer.created_at, newer.id) > (older.created_at, older.id));

CREATE UNIQUE INDEX signing_key_in_use ON signing_key (algorithm, state) WHERE state IN ('next', 'current');
