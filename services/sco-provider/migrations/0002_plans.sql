-- Plans: how networks cross clusters.

-- Counts the changes of a slice's gateways and links.
ALTER TABLE slice ADD COLUMN topology_version bigint NOT NULL DEFAULT 1;

-- Several links may join two clusters, if they end at different gateways.
ALTER TABLE slice_link
    -- Node of the gateway; empty: every gateway of the cluster in the slice.
    ADD COLUMN node_a text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN node_b text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN cost bigint NOT NULL DEFAULT 1 CHECK (cost BETWEEN 1 AND 4294967295),
    DROP CONSTRAINT slice_link_pkey,
    ADD PRIMARY KEY (slice_id, cluster_a, node_a, cluster_b, node_b);

ALTER TABLE network
    -- The epoch of its plan; 0: it never had a gate.
    ADD COLUMN epoch smallint NOT NULL DEFAULT 0 CHECK (epoch BETWEEN 0 AND 127),
    -- The topology_version of its slice that the plan was made for; null: there is no plan yet.
    ADD COLUMN planned_for bigint;

-- The gateways that a network's trunks are on, or were in this epoch. They need not exist any more:
-- a gateway that cannot be told goes on with a former plan.
CREATE TABLE gate (
    network_id bigint NOT NULL REFERENCES network ON DELETE CASCADE,
    cluster text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    -- The segment that the gate joins its cluster to; null: it is of a former plan.
    segment integer CHECK (segment BETWEEN 0 AND 65535),
    -- Gateways that a plan of this epoch has joined have the same number.
    part integer NOT NULL CHECK (part BETWEEN 0 AND 65535),
    PRIMARY KEY (network_id, cluster, node)
);

-- All 24 bits of a virtual network identifier are free to use.
ALTER TABLE network
    DROP CONSTRAINT network_vni_check,
    ADD CONSTRAINT network_vni_check CHECK (vni BETWEEN 1 AND 16777215);
ALTER SEQUENCE vni_sequence MAXVALUE 16777215;
