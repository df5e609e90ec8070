-- Slices and networks that clusters describe, each its own part.

ALTER TABLE slice
    -- It is what its members describe together; false: it is described whole, and they change nothing.
    ADD COLUMN by_members boolean NOT NULL DEFAULT false;
ALTER TABLE network
    ADD COLUMN by_members boolean NOT NULL DEFAULT false;

-- What clusters describe of slices. A slice that is by members has one at least, unless it is deleted.
CREATE TABLE slice_member (
    slice_id bigint NOT NULL REFERENCES slice ON DELETE CASCADE,
    cluster text COLLATE "C" NOT NULL,
    uid text NOT NULL,
    generation bigint NOT NULL,
    -- Nodes of the cluster's gateways in the slice, in the order of preference.
    gateways text[] COLLATE "C" NOT NULL,
    -- Underlay addresses of gateways of other clusters.
    neighbors inet[] NOT NULL,
    PRIMARY KEY (slice_id, cluster)
);
CREATE INDEX slice_member_cluster ON slice_member (cluster);

-- What clusters describe of networks; all agree with the network's CIDR.
CREATE TABLE network_member (
    network_id bigint NOT NULL REFERENCES network ON DELETE CASCADE,
    cluster text COLLATE "C" NOT NULL,
    uid text NOT NULL,
    generation bigint NOT NULL,
    -- What is leased to the cluster when it asks for any block; null: out of all.
    address_range cidr,
    PRIMARY KEY (network_id, cluster)
);
