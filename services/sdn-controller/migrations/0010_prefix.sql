-- How long the prefix of an address is that a port of a network without addresses has chosen itself.
-- In other networks it is the network's.
ALTER TABLE port ADD COLUMN prefix_len smallint CHECK (prefix_len BETWEEN 1 AND 128);
