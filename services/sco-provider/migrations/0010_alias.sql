-- Another name by which the DNS finds an endpoint beside that of its port; others may have it, too.
-- Null: none, as always of an address that was learned behind a port.
ALTER TABLE endpoint
    ADD COLUMN alias text COLLATE "C",
    ADD CONSTRAINT endpoint_alias CHECK (
        alias IS NULL OR learned_mac = '00:00:00:00:00:00'
    );
