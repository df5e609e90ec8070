-- One row for each endpoint that has names. The collation makes the order of the key that of the
-- bytes, as everywhere else in the program.
CREATE TABLE records (
    slice text COLLATE "C" NOT NULL,
    network text COLLATE "C" NOT NULL,
    cluster text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    addresses inet[] NOT NULL CHECK (cardinality(addresses) BETWEEN 1 AND 64),
    PRIMARY KEY (slice, network, cluster, host)
);

-- The number of the state of all records: one row. Every change adds 1 in its own transaction, so
-- that changes get their numbers in the order in which they become visible.
CREATE TABLE revision (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    number bigint NOT NULL
);

INSERT INTO revision (number) VALUES (1);
