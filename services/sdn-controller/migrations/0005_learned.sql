ALTER TABLE port
    -- How many other MAC addresses may be learned behind it.
    ADD COLUMN max_learned integer NOT NULL DEFAULT 0 CHECK (max_learned BETWEEN 0 AND 1024);

-- MAC addresses that were learned behind ports. A row is there before the sco-provider is told of
-- the address, and until it has been told that the address is there no more.
CREATE TABLE learned_mac (
    slice     text    NOT NULL,
    network   text    NOT NULL,
    port      text    NOT NULL,
    mac       text    NOT NULL,
    -- The sco-provider knows it.
    announced boolean NOT NULL DEFAULT false,
    -- It is there no more.
    forgotten boolean NOT NULL DEFAULT false,
    PRIMARY KEY (slice, network, port, mac),
    FOREIGN KEY (slice, network, port) REFERENCES port ON DELETE CASCADE
);
