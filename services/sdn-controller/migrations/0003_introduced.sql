-- Whether a port has told its network where its address is. Those that are live already have been
-- found without.
ALTER TABLE port ADD COLUMN introduced boolean NOT NULL DEFAULT true;
ALTER TABLE port ALTER COLUMN introduced SET DEFAULT false;
