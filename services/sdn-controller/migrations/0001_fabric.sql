-- The desired state of one cluster's fabric.

CREATE TABLE node (
    name             text    PRIMARY KEY,
    uid              text    NOT NULL,
    generation       bigint  NOT NULL,
    -- Names the switch in group numbers, for life.
    ordinal          integer NOT NULL CONSTRAINT node_ordinal UNIQUE
                             CHECK (ordinal BETWEEN 1 AND 65535),
    underlay_address inet    NOT NULL,
    agent_endpoint   text    NOT NULL,
    gateway          boolean NOT NULL,
    -- The 64 bits of the OpenFlow datapath id, as a signed number.
    datapath_id      bigint  NOT NULL CONSTRAINT node_datapath_id UNIQUE,
    deleting         boolean NOT NULL DEFAULT false
);

CREATE TABLE slice (
    name       text    PRIMARY KEY,
    uid        text    NOT NULL,
    generation bigint  NOT NULL,
    -- Names the slice in group numbers, for life.
    ordinal    integer NOT NULL CONSTRAINT slice_ordinal UNIQUE
                       CHECK (ordinal BETWEEN 1 AND 32767),
    -- Every node with every other: not the same as having no link left in slice_link.
    full_mesh  boolean NOT NULL,
    deleting   boolean NOT NULL DEFAULT false
);

-- A node that goes leaves its slices.
CREATE TABLE slice_node (
    slice text NOT NULL REFERENCES slice ON DELETE CASCADE,
    node  text NOT NULL REFERENCES node ON DELETE CASCADE,
    PRIMARY KEY (slice, node)
);
CREATE INDEX slice_node_by_node ON slice_node (node);

CREATE TABLE slice_link (
    slice  text NOT NULL,
    node_a text NOT NULL,
    node_b text NOT NULL,
    PRIMARY KEY (slice, node_a, node_b),
    CHECK (node_a COLLATE "C" < node_b COLLATE "C"),
    FOREIGN KEY (slice, node_a) REFERENCES slice_node ON DELETE CASCADE,
    FOREIGN KEY (slice, node_b) REFERENCES slice_node ON DELETE CASCADE
);
CREATE INDEX slice_link_by_node_b ON slice_link (slice, node_b);

CREATE TABLE network (
    slice      text    NOT NULL REFERENCES slice ON DELETE RESTRICT,
    name       text    NOT NULL,
    uid        text    NOT NULL,
    generation bigint  NOT NULL,
    vni        integer NOT NULL CONSTRAINT network_vni UNIQUE
                       CHECK (vni BETWEEN 1 AND 16777215),
    cidr       cidr,
    mtu        integer NOT NULL CHECK (mtu BETWEEN 68 AND 65535),
    -- How many blocks of it have been given back. A lease that was asked for before the last one
    -- was may be of that very block, and then is none any more.
    releases   bigint  NOT NULL DEFAULT 0,
    deleting   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (slice, name)
);

-- Addresses of a network that the sco-provider has leased to this cluster, in whole blocks and one
-- by one. The lease of a single address ends with the port that has it.
CREATE TABLE block (
    slice   text NOT NULL,
    network text NOT NULL,
    cidr    cidr NOT NULL,
    PRIMARY KEY (slice, network, cidr),
    FOREIGN KEY (slice, network) REFERENCES network ON DELETE CASCADE
);

CREATE TABLE port (
    slice               text    NOT NULL,
    network             text    NOT NULL,
    name                text    NOT NULL,
    uid                 text    NOT NULL,
    generation          bigint  NOT NULL,
    node                text    NOT NULL REFERENCES node ON DELETE RESTRICT,
    -- Both of a namespace attachment; null of an interface attachment.
    namespace_path      text,
    namespace_interface text,
    interface_name      text    NOT NULL,
    mac                 text    NOT NULL,
    address             inet,
    deleting            boolean NOT NULL DEFAULT false,
    PRIMARY KEY (slice, network, name),
    FOREIGN KEY (slice, network) REFERENCES network ON DELETE RESTRICT,
    CHECK ((namespace_path IS NULL) = (namespace_interface IS NULL)),
    -- No MAC and no address is ever given twice in a network.
    CONSTRAINT port_mac UNIQUE (slice, network, mac),
    CONSTRAINT port_address UNIQUE (slice, network, address),
    CONSTRAINT port_interface UNIQUE (node, interface_name)
);
