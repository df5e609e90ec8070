-- Addresses that were learned behind ports: endpoints beside those that are the ports themselves.
ALTER TABLE endpoint
    -- The address that was learned behind the port; all zeros: the endpoint is the port itself.
    ADD COLUMN learned_mac macaddr NOT NULL DEFAULT '00:00:00:00:00:00',
    DROP CONSTRAINT endpoint_key,
    ADD CONSTRAINT endpoint_key UNIQUE (network_id, cluster, port, learned_mac),
    ADD CONSTRAINT endpoint_learned_mac CHECK (
        learned_mac = '00:00:00:00:00:00'
        OR (learned_mac = mac AND address IS NULL AND NOT named)
    );

-- Whose an address is, and whose it was.
CREATE INDEX endpoint_by_mac ON endpoint (network_id, mac);
