-- Other names by which an endpoint is found beside its own, each at most once.
ALTER TABLE records ADD COLUMN aliases text[] COLLATE "C" NOT NULL DEFAULT '{}';
