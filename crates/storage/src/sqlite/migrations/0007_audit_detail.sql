-- Why something happened, and which operator did it. An empty user_id: it is about nobody in particular.

ALTER TABLE audit ADD COLUMN operator TEXT;
ALTER TABLE audit ADD COLUMN detail TEXT;
