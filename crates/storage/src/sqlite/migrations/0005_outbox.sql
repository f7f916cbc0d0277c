-- Messages that wait: each channel by itself, and with what is known of their tries.

-- A channel whose providers are slow must not keep the others waiting: rows are claimed by channel.
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (channel, due_at, expires_at);

-- Tries after which the message may have been sent.
ALTER TABLE outbox ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
