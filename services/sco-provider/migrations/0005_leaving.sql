-- Endpoints that are on their way out: few, looked for whenever another one changes.
CREATE INDEX endpoint_leaving ON endpoint (network_id) WHERE deleting;
