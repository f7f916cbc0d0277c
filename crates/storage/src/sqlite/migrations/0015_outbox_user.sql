-- Whose a message is, so that the audit trail can say what became of it. Empty for those that waited when this was added.

ALTER TABLE outbox ADD COLUMN user_id TEXT;
