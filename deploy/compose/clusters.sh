#!/bin/sh
# Registers the clusters, or makes them again what they are to be; waits until they are ready.
set -eu

until l2sces apply --file - --timeout 2m <<END
kind: Cluster
metadata: {name: a}
spec:
  direct: {controller_endpoint: "https://sdn-controller-a:50052"}
  nodes:
  - name: a1
    underlay_address: $PREFIX.1.21
    agent_endpoint: https://a1:50053
    gateway: {agent_endpoint: "https://a1:50054", underlay_address: $PREFIX.3.21}
  - {name: a2, underlay_address: $PREFIX.1.22, agent_endpoint: "https://a2:50053"}
---
kind: Cluster
metadata: {name: b}
spec:
  direct: {controller_endpoint: "https://sdn-controller-b:50052"}
  nodes:
  - name: b1
    underlay_address: $PREFIX.2.31
    agent_endpoint: https://b1:50053
    gateway: {agent_endpoint: "https://b1:50054", underlay_address: $PREFIX.3.31}
  - {name: b2, underlay_address: $PREFIX.2.32, agent_endpoint: "https://b2:50053"}
END
do
    sleep 2
done
