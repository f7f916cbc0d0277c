-- Remembered devices: families whose tokens let a person skip the second factor.

ALTER TABLE refresh_family ADD COLUMN kind TEXT NOT NULL DEFAULT 'refresh' CHECK (kind IN ('refresh', 'device'));
