use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::join_all;
use l2sces_controller::{NetworkSpec, PortRole, PortSpec};
use l2sces_model::{Name, Vni};

use super::{ReconcileError, Reconciler, slice::KnownSlice};
use crate::{
    domain::{
        GatewayKey, Key, NetworkKey, ObjectKey, StoredNetwork,
        plan::{Plan, Planned, plan},
    },
    downstream::{Agents, Fabric, Names},
    exchange::{Item, ItemKey, Notice},
    status::{Fact, Problem},
    store::NetworkRemoval,
};

/// A network as it has been brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownNetwork {
    pub(super) vni: Vni,
    /// The clusters that it spans.
    pub(super) clusters: Vec<Name>,
    /// How it crosses them.
    plan: Plan,
}

impl KnownNetwork {
    /// The clusters that are told of endpoints: those that it spans, and those that it only crosses.
    pub(super) fn listeners(&self) -> BTreeSet<&Name> {
        let gates = self.plan.gateways().filter(|(_, segment, _)| segment.is_some());
        self.clusters.iter().chain(gates.map(|(gateway, ..)| &gateway.cluster)).collect()
    }

    /// Whether endpoints of the network can have others in another cluster.
    pub(super) fn crosses_clusters(&self) -> bool {
        self.clusters.len() > 1
    }
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    pub(super) async fn reconcile_network(
        &self,
        key: &NetworkKey,
    ) -> Result<Option<Problem>, ReconcileError> {
        match self.store.network(key).await? {
            None => {
                self.forget_network(key);
                Ok(None)
            }
            Some(stored) if stored.deleting => self.remove_network(&stored).await,
            Some(stored) => self.make_network(stored).await,
        }
    }

    /// Tells the clusters, the engine and the watchers of a network. Its plan must have been stored.
    /// Returns whether its endpoints are concerned.
    pub(super) async fn admit_network(&self, stored: &StoredNetwork) -> bool {
        let key = &stored.network.key;
        let known = Arc::new(KnownNetwork {
            vni: stored.identity.vni,
            clusters: stored.network.clusters.clone(),
            plan: stored.plan.clone(),
        });
        let ports = known.plan.gateways().filter(|(_, segment, _)| segment.is_some());
        self.status.expect(
            &ObjectKey::Network(key.clone()),
            &stored.network.version,
            Some(stored.identity),
            ports.map(|(gateway, ..)| Fact::Port(key.gate_port(gateway))).collect(),
        );
        let former = self.networks.insert(key, known.clone());
        self.tell_clusters(key, former.as_deref(), &known);
        if let Some(former) = &former {
            self.close_gates(key, former, &known.plan).await;
        }
        self.open_gates(key, &known).await;
        former.is_none_or(|former| {
            former.clusters != known.clusters || former.listeners() != known.listeners()
        })
    }

    /// Tells each cluster of its own part of the plan.
    fn tell_clusters(&self, key: &NetworkKey, former: Option<&KnownNetwork>, known: &KnownNetwork) {
        let mut clusters: BTreeMap<Name, BTreeMap<Name, BTreeSet<Name>>> = BTreeMap::new();
        for gate in known.plan.gates(&known.clusters) {
            let GatewayKey { cluster, node } = gate.gateway;
            clusters.entry(cluster).or_default().insert(node, gate.outward);
        }
        let item_key = |cluster: Name| ItemKey::Handoff { network: key.clone(), cluster };
        let lost = former.iter().flat_map(|former| former.plan.gateways());
        for (GatewayKey { cluster, .. }, ..) in lost {
            if !clusters.contains_key(cluster) {
                self.exchange.remove(&item_key(cluster.clone()));
            }
        }
        for (cluster, gates) in clusters {
            let item = Item::Handoff { vni: known.vni, epoch: known.plan.epoch(), gates };
            let notice = Notice { audience: vec![cluster.clone()], item };
            self.exchange.put(item_key(cluster), notice);
        }
    }

    async fn open_gates(&self, key: &NetworkKey, known: &KnownNetwork) {
        let network = NetworkSpec { vni: known.vni, slice: key.slice.clone() };
        let gates = known.plan.gates(&known.clusters);
        let ports = gates.into_iter().map(|gate| {
            self.fabric.put_port(PortSpec {
                id: key.gate_port(&gate.gateway),
                vni: known.vni,
                switch: gate.gateway.datapath_id(),
                interface: self.trunk.clone(),
                role: PortRole::Trunk {
                    segment: gate.segment,
                    epoch: known.plan.epoch(),
                    regions: gate.inward,
                },
            })
        });
        // Side by side: each waits for its switches.
        tokio::join!(self.fabric.put_network(network), join_all(ports));
    }

    /// Closes the gates that are not in `kept`; returns when the switches have confirmed it.
    async fn close_gates(&self, key: &NetworkKey, known: &KnownNetwork, kept: &Plan) {
        let lost = known
            .plan
            .gateways()
            .filter(|(gateway, segment, _)| segment.is_some() && kept.segment(gateway).is_none());
        join_all(lost.map(|(gateway, ..)| self.fabric.remove_port(key.gate_port(gateway)))).await;
    }

    async fn make_network(
        &self,
        mut stored: StoredNetwork,
    ) -> Result<Option<Problem>, ReconcileError> {
        let Some(slice) = self.slice_of(&stored).await? else { return Ok(None) };
        let is_afresh = stored.planned_for != Some(slice.version);
        let Planned { plan, unreached } =
            plan(&slice.ways, &stored.network.clusters, &stored.plan, is_afresh);
        // One that spans a single cluster has the same plan whatever the topology.
        let crosses_clusters = stored.network.clusters.len() > 1;
        if (is_afresh && crosses_clusters) || plan != stored.plan {
            // Before anybody is told: a plan that was told and then forgotten might be followed by
            // another one of the same epoch.
            let vni = stored.identity.vni;
            if !self.store.store_plan(vni, &plan, slice.version).await? {
                self.queues.wake(Key::Network(stored.network.key));
                return Ok(None);
            }
            if plan.epoch() != stored.plan.epoch() {
                let (network, epoch) = (&stored.network.key, plan.epoch());
                tracing::info!(%network, %epoch, "crosses clusters by another way");
            }
            stored.plan = plan;
        }
        if self.admit_network(&stored).await {
            self.wake_endpoints(&stored.network.key).await?;
        }
        Ok(missing_way(&stored, &slice, &unreached))
    }

    async fn remove_network(
        &self,
        stored: &StoredNetwork,
    ) -> Result<Option<Problem>, ReconcileError> {
        let key = &stored.network.key;
        self.expect_network_gone(stored);
        let retired = Arc::new(KnownNetwork {
            vni: stored.identity.vni,
            clusters: Vec::new(),
            plan: Plan::default(),
        });
        let former = self.networks.insert(key, retired.clone());
        if former.as_ref() != Some(&retired) {
            if let Some(former) = former {
                self.tell_clusters(key, Some(&former), &retired);
                self.close_gates(key, &former, &retired.plan).await;
            }
            self.wake_endpoints(key).await?;
        }
        self.fabric.remove_network(stored.identity.vni).await;
        match self.store.forget_network(key).await? {
            NetworkRemoval::Gone => {
                self.forget_network(key);
                Ok(None)
            }
            // The last of them wakes the network.
            NetworkRemoval::HasEndpoints => {
                Ok(Some(Problem::new("Deleting", "endpoints of it are still being removed")))
            }
        }
    }

    /// Tells the watchers that a network is on its way out.
    pub(super) fn expect_network_gone(&self, stored: &StoredNetwork) {
        let object = ObjectKey::Network(stored.network.key.clone());
        self.status.expect_gone(&object, &stored.network.version, Some(stored.identity));
    }

    async fn wake_endpoints(&self, key: &NetworkKey) -> Result<(), ReconcileError> {
        for endpoint in self.store.endpoints_of(key).await? {
            self.queues.wake(Key::Endpoint(endpoint));
        }
        Ok(())
    }

    fn forget_network(&self, key: &NetworkKey) {
        self.networks.remove(key);
        self.status.remove(&ObjectKey::Network(key.clone()));
    }
}

/// A cluster that the network cannot leave, though it should.
fn missing_way(stored: &StoredNetwork, slice: &KnownSlice, unreached: &[Name]) -> Option<Problem> {
    let cluster = unreached.first()?;
    let name = &stored.network.key.slice;
    let clusters = &stored.network.clusters;
    if let Some(cluster) = clusters.iter().find(|name| !slice.topology.has_gateway_in(name)) {
        let message = format!("cluster {cluster} has no gateway in slice {name}");
        return Some(Problem::new("NoGateway", message));
    }
    let others = match unreached.len() - 1 {
        0 => String::new(),
        others => format!(", nor {others} more"),
    };
    let message = format!(
        "cluster {cluster} cannot be reached by gateways and links of slice {name} that work{others}"
    );
    Some(Problem::new("NoWay", message))
}
