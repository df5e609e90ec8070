-- A gateway whose removal does not wait for its agent, which may be gone for good.
ALTER TABLE gateway ADD COLUMN forced boolean NOT NULL DEFAULT false;
