-- What the sco-provider has said last, so that a start does not have to wait for it: item by item,
-- as it said it (a message of l2sces.sco.v1).
CREATE TABLE exchange_item (
    key text COLLATE "C" PRIMARY KEY,
    message bytea NOT NULL,
    -- The watch that told it last.
    watch bigint NOT NULL
);
CREATE INDEX exchange_item_watch ON exchange_item (watch);

CREATE SEQUENCE exchange_watch;

-- Whether a watch has ever told everything: what there is of a first one is not the whole.
CREATE TABLE exchange (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    complete boolean NOT NULL DEFAULT false
);
INSERT INTO exchange DEFAULT VALUES;
