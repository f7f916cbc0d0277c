-- The audit trail becomes a chain. Its first row, which the program writes with this, stands on the rows from before.

ALTER TABLE audit ADD COLUMN link BLOB CHECK (length(link) = 32);
-- Of the newest row alone.
ALTER TABLE audit ADD COLUMN seal BLOB CHECK (length(seal) = 32);
