-- The access token with which an authenticator was removed goes on, though the epoch rose: a keyed digest of both.
ALTER TABLE user ADD COLUMN spared BLOB;
