-- When a person was first told to enrol a second factor, or confirmed one: their grace period runs from it. Written once.

ALTER TABLE user ADD COLUMN told_at INTEGER;

-- Who has a factor was told long ago.
UPDATE user SET told_at = (SELECT min(coalesce(confirmed_at, created_at)) FROM authenticator
                           WHERE user_id = user.id AND status <> 'pending');
