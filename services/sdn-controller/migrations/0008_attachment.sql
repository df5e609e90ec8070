ALTER TABLE port
    -- What it was attached for, such as the id of a pod's sandbox; '': nothing in particular.
    ADD COLUMN attachment_id text NOT NULL DEFAULT '';
CREATE INDEX port_by_attachment ON port (attachment_id) WHERE attachment_id <> '';
CREATE INDEX port_by_node ON port (node);
