-- Topologies with costs, that change while networks use them.

ALTER TABLE slice_link
    ADD COLUMN cost integer NOT NULL DEFAULT 1 CHECK (cost BETWEEN 1 AND 65535);

ALTER TABLE slice_node
    -- Carries the frames of others only where there is no other way.
    ADD COLUMN avoid_transit boolean NOT NULL DEFAULT false;

ALTER TABLE slice
    -- Counts the changes of its nodes and links, those by which a node leaves it included.
    ADD COLUMN topology bigint NOT NULL DEFAULT 1;

-- Links that a slice no longer wants, and that frames may still use: their tunnels stay until the
-- switches have confirmed that they do not.
CREATE TABLE former_link (
    slice    text   NOT NULL REFERENCES slice ON DELETE CASCADE,
    node_a   text   NOT NULL REFERENCES node ON DELETE CASCADE,
    node_b   text   NOT NULL REFERENCES node ON DELETE CASCADE,
    -- The first topology of the slice without it.
    topology bigint NOT NULL,
    PRIMARY KEY (slice, node_a, node_b),
    CHECK (node_a COLLATE "C" < node_b COLLATE "C")
);
CREATE INDEX former_link_by_node_a ON former_link (node_a, node_b);
CREATE INDEX former_link_by_node_b ON former_link (node_b, node_a);

ALTER TABLE node
    -- It is no gateway any more, and networks may still use its trunk.
    ADD COLUMN former_gateway boolean NOT NULL DEFAULT false,
    -- Its deletion does not wait for it, nor for anything else.
    ADD COLUMN forced boolean NOT NULL DEFAULT false;
