-- Devices that are asked: what became of a challenge.

-- The mark of the decision, a keyed digest. Nobody decides about a code.
ALTER TABLE challenge ADD COLUMN decision BLOB CHECK (length(decision) = 32);
