-- Devices that are asked: what became of a challenge.

-- 0 nothing yet, 1 approved, 2 rejected. Nobody decides about a code.
ALTER TABLE challenge ADD COLUMN decision INTEGER NOT NULL DEFAULT 0 CHECK (decision BETWEEN 0 AND 2);
