-- Messages that wait, each channel by itself.

-- A channel whose providers are slow must not keep the others waiting: rows are claimed by channel.
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (channel, due_at, expires_at);
