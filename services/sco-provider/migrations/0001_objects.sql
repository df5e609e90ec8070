-- Names are compared byte by byte (collation "C"), as the code compares them.

-- Gateways, on each of which a ned-agent runs.
CREATE TABLE gateway (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    uid text NOT NULL,
    generation bigint NOT NULL,
    -- Names the gateway's switch in group numbers, for life.
    ordinal integer NOT NULL CHECK (ordinal BETWEEN 1 AND 65535),
    -- OpenFlow datapath id of its br-ned, the 64 bits as a signed number.
    datapath_id bigint NOT NULL,
    agent_endpoint text NOT NULL,
    underlay_address inet NOT NULL,
    deleting boolean NOT NULL DEFAULT false,
    CONSTRAINT gateway_key UNIQUE (cluster, node),
    CONSTRAINT gateway_ordinal UNIQUE (ordinal),
    CONSTRAINT gateway_datapath_id UNIQUE (datapath_id)
);

-- The inter-cluster part of slices.
CREATE TABLE slice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    uid text NOT NULL,
    generation bigint NOT NULL,
    -- Names the slice in group numbers, for life.
    ordinal integer NOT NULL CHECK (ordinal BETWEEN 1 AND 32767),
    clusters text[] COLLATE "C" NOT NULL,
    deleting boolean NOT NULL DEFAULT false,
    CONSTRAINT slice_key UNIQUE (name),
    CONSTRAINT slice_ordinal UNIQUE (ordinal)
);

-- The gateways of a slice, in the order of preference within a cluster.
CREATE TABLE slice_gateway (
    slice_id bigint NOT NULL REFERENCES slice ON DELETE CASCADE,
    gateway_id bigint NOT NULL REFERENCES gateway,
    position integer NOT NULL,
    PRIMARY KEY (slice_id, gateway_id)
);
CREATE INDEX slice_gateway_gateway ON slice_gateway (gateway_id);

-- The links of a slice between clusters, each once.
CREATE TABLE slice_link (
    slice_id bigint NOT NULL REFERENCES slice ON DELETE CASCADE,
    cluster_a text COLLATE "C" NOT NULL,
    cluster_b text COLLATE "C" NOT NULL,
    PRIMARY KEY (slice_id, cluster_a, cluster_b),
    CHECK (cluster_a < cluster_b)
);

-- Networks and their identity.
CREATE TABLE network (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slice_id bigint NOT NULL REFERENCES slice,
    name text COLLATE "C" NOT NULL,
    uid text NOT NULL,
    generation bigint NOT NULL,
    -- VXLAN network identifier; the highest of its 24 bits is the data plane's.
    vni integer NOT NULL CHECK (vni BETWEEN 1 AND 16777215),
    mtu integer NOT NULL CHECK (mtu > 0),
    clusters text[] COLLATE "C" NOT NULL,
    cidr cidr,
    -- Prefix length of the network's address blocks.
    block_prefix smallint,
    -- Every block above this one is in table block, or of no use; null: so are all.
    next_block cidr,
    deleting boolean NOT NULL DEFAULT false,
    CONSTRAINT network_key UNIQUE (slice_id, name),
    CONSTRAINT network_vni UNIQUE (vni),
    CONSTRAINT network_blocks UNIQUE (id, cidr, block_prefix),
    CHECK ((cidr IS NULL) = (block_prefix IS NULL))
);

-- Blocks of addresses that are leased, or shared by clusters that lease single addresses.
--
-- That no address is ever in the leases of two clusters holds whatever the code does, and without
-- an extension (for an exclusion constraint) that a database role may not be allowed to install:
--   * All blocks of a network have one prefix length (the foreign key and the first check), and so
--     are equal or disjoint; the primary key rules out the former. No two blocks overlap.
--   * A single address lies in a block of table block (single_address_block), and there is only one
--     that it can lie in. That block is shared, hence no cluster's, and stays so while it has such
--     addresses: the foreign key includes the column that says so.
--   * No address is leased singly twice (primary key of single_address).
CREATE TABLE block (
    network_id bigint NOT NULL,
    network_cidr cidr NOT NULL,
    prefix smallint NOT NULL,
    block cidr NOT NULL,
    -- To whom it is leased as a whole; null: to nobody, its addresses are leased singly.
    cluster text COLLATE "C",
    shared boolean NOT NULL GENERATED ALWAYS AS (cluster IS NULL) STORED,
    PRIMARY KEY (network_id, block),
    CONSTRAINT block_shared UNIQUE (network_id, block, shared),
    FOREIGN KEY (network_id, network_cidr, prefix)
        REFERENCES network (id, cidr, block_prefix) ON DELETE CASCADE,
    CHECK (masklen(block) = prefix),
    CHECK (block <<= network_cidr)
);
CREATE INDEX block_cluster ON block (network_id, cluster, block);

-- Addresses leased one by one, out of shared blocks.
CREATE TABLE single_address (
    network_id bigint NOT NULL REFERENCES network ON DELETE CASCADE,
    block cidr NOT NULL,
    block_shared boolean NOT NULL DEFAULT true CHECK (block_shared),
    address cidr NOT NULL,
    cluster text COLLATE "C" NOT NULL,
    PRIMARY KEY (network_id, address),
    -- Does not cascade: a block that goes must not take leases along by mistake.
    CONSTRAINT single_address_block FOREIGN KEY (network_id, block, block_shared)
        REFERENCES block (network_id, block, shared),
    CHECK (address <<= block),
    CHECK (masklen(address) = CASE family(address) WHEN 4 THEN 32 ELSE 128 END)
);
CREATE INDEX single_address_by_block ON single_address (network_id, block);
CREATE INDEX single_address_by_cluster ON single_address (network_id, cluster, address);

-- Live ports of networks, as the clusters announce them.
CREATE TABLE endpoint (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network_id bigint NOT NULL REFERENCES network,
    cluster text COLLATE "C" NOT NULL,
    port text COLLATE "C" NOT NULL,
    mac macaddr NOT NULL,
    address inet,
    -- The DNS may have a record of it.
    named boolean NOT NULL,
    deleting boolean NOT NULL DEFAULT false,
    CONSTRAINT endpoint_key UNIQUE (network_id, cluster, port)
);
-- An endpoint on its way out, perhaps held up by the DNS, must not keep its addresses from the next.
CREATE UNIQUE INDEX endpoint_mac ON endpoint (network_id, mac) WHERE NOT deleting;
CREATE UNIQUE INDEX endpoint_address ON endpoint (network_id, address) WHERE NOT deleting;

-- Identifiers are handed out in turn, so that one is not used again as long as that can be avoided:
-- a switch that was away may still have flows of its former network.
CREATE SEQUENCE vni_sequence AS integer MINVALUE 1 MAXVALUE 16777215 CYCLE;

-- An identifier in [low, high] that no network has; null if there is none. Whoever inserts it must
-- be ready for another transaction to have been faster, and call again.
CREATE FUNCTION allocate_vni(low integer, high integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    turn integer := nextval('vni_sequence');
    start integer;
    free integer;
BEGIN
    IF turn BETWEEN low AND high AND NOT EXISTS (SELECT FROM network WHERE vni = turn) THEN
        RETURN turn;
    END IF;
    -- The sequence has wrapped into identifiers in use: search for a gap, one transaction at a time.
    PERFORM pg_advisory_xact_lock(hashtext('sco-provider vni'));
    FOREACH start IN ARRAY ARRAY[CASE WHEN turn BETWEEN low AND high THEN turn ELSE low END, low] LOOP
        SELECT candidate INTO free
        FROM (SELECT start AS candidate
              UNION ALL
              SELECT vni + 1 FROM network WHERE vni >= start AND vni < high) AS candidates
        WHERE NOT EXISTS (SELECT FROM network WHERE vni = candidate)
        ORDER BY candidate
        LIMIT 1;
        EXIT WHEN free IS NOT NULL;
    END LOOP;
    RETURN free;
END $$;

-- Authenticates link discovery frames. One for all replicas, and the same after a restart.
CREATE TABLE discovery_key (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    key bytea NOT NULL CHECK (length(key) = 32)
);
INSERT INTO discovery_key (key)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
