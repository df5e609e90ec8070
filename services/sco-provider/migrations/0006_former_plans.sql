-- A network goes over from one plan to the next, and a slice from one topology to the next: what is
-- former stays until no frame needs it.

ALTER TABLE network
    -- The epoch of the plan before, as long as frames of it are taken; null: there is none.
    ADD COLUMN former_epoch smallint CHECK (former_epoch BETWEEN 1 AND 127),
    -- Frames still set out by the plan before.
    ADD COLUMN former_is_current boolean NOT NULL DEFAULT false;

-- The gates of the plans before.
CREATE TABLE former_gate (
    network_id bigint NOT NULL REFERENCES network ON DELETE CASCADE,
    cluster text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    segment integer NOT NULL CHECK (segment BETWEEN 0 AND 65535),
    PRIMARY KEY (network_id, cluster, node)
);

-- Gateways and links that are no part of the slice any more, and that its networks are leaving.
ALTER TABLE slice_gateway ADD COLUMN leaving boolean NOT NULL DEFAULT false;
ALTER TABLE slice_link ADD COLUMN leaving boolean NOT NULL DEFAULT false;
