-- Another name by which the DNS finds a port beside its own; others may have it, too. Null: none.
ALTER TABLE port ADD COLUMN alias text;
