use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::join_all;
use l2sces_controller::{NetworkSpec, PortId, PortRole, PortSpec};
use l2sces_model::{Epoch, InterfaceName, Name, Vni};
use l2sces_trace::TraceContext;

use super::{
    ReconcileError, Reconciler,
    slice::KnownSlice,
    succession::{Decision, decide},
};
use crate::{
    domain::{
        EndpointKey, Key, NetworkKey, ObjectKey, StoredNetwork,
        plan::{Gate, Passage, Plan, Stage, Succession},
    },
    downstream::{Agents, Fabric, Names},
    exchange::{Crossing, Item, ItemKey, Notice},
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
    plans: Succession,
}

impl KnownNetwork {
    /// The clusters that are told of endpoints: those that it spans, and those that it only crosses.
    pub(super) fn listeners(&self) -> BTreeSet<&Name> {
        self.clusters.iter().chain(self.crossed_clusters()).collect()
    }

    /// The clusters in which it uses trunks.
    pub(super) fn crossed_clusters(&self) -> BTreeSet<&Name> {
        let plans = self.plans.former().into_iter().chain([self.plans.latest()]);
        let gates = plans.flat_map(Plan::gateways).filter(|(_, segment, _)| segment.is_some());
        gates.map(|(gateway, ..)| &gateway.cluster).collect()
    }

    /// Whether endpoints of the network can have others in another cluster.
    pub(super) fn crosses_clusters(&self) -> bool {
        self.clusters.len() > 1
    }

    /// The other clusters that are told of an endpoint.
    pub(super) fn audience(&self, key: &EndpointKey) -> Vec<Name> {
        let listeners = self.listeners().into_iter();
        listeners.filter(|cluster| **cluster != key.cluster).cloned().collect()
    }

    /// Its ports on the trunks of gateways. No frame sets out between clusters.
    fn ports(&self, key: &NetworkKey, trunk: &InterfaceName) -> BTreeMap<PortId, PortSpec> {
        let passages = self.plans.passages(&self.clusters).into_iter();
        let gates = passages
            .flat_map(|Passage { epoch, gates }| gates.into_iter().map(move |gate| (epoch, gate)));
        let port = |(epoch, gate): (Epoch, Gate)| PortSpec {
            id: key.gate_port(&gate.gateway, epoch),
            vni: self.vni,
            switch: gate.gateway.datapath_id(),
            interface: trunk.clone(),
            role: PortRole::Trunk {
                segment: gate.segment,
                epoch,
                is_current: false,
                regions: gate.inward,
            },
        };
        gates.map(port).map(|port| (port.id.clone(), port)).collect()
    }

    /// The ports without which it is not as wanted: all but those of a plan that is being left.
    fn needed_ports(&self, key: &NetworkKey) -> Vec<Fact> {
        let (latest, former) = (self.plans.latest(), self.plans.former());
        let is_current = self.plans.stage() == Stage::Preparing;
        let plans = former.filter(|_| is_current).into_iter().chain([latest]);
        let ports = plans.flat_map(|plan| {
            let gates = plan.gateways().filter(|(_, segment, _)| segment.is_some());
            gates.map(|(gateway, ..)| key.gate_port(gateway, plan.epoch()))
        });
        ports.map(Fact::Port).collect()
    }
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    pub(super) async fn reconcile_network(
        &self,
        key: &NetworkKey,
    ) -> Result<Option<Problem>, ReconcileError> {
        let stored = self.store.network(key).await?;
        TraceContext::link_current(stored.as_ref().and_then(|stored| stored.origin));
        match stored {
            None => {
                self.forget_network(key);
                Ok(None)
            }
            Some(stored) if stored.deleting => self.remove_network(&stored).await,
            Some(stored) => self.make_network(stored).await,
        }
    }

    /// Tells the clusters, the engine and the watchers of a network. Its plans must have been stored.
    /// Returns whether its endpoints are concerned.
    pub(super) async fn admit_network(
        &self,
        stored: &StoredNetwork,
    ) -> Result<bool, ReconcileError> {
        let key = &stored.network.key;
        let known = Arc::new(KnownNetwork {
            vni: stored.identity.vni,
            clusters: stored.network.clusters.clone(),
            plans: stored.plans.clone(),
        });
        self.status.expect(
            &ObjectKey::Network(key.clone()),
            &stored.network.version,
            Some(stored.identity),
            known.needed_ports(key),
        );
        let former = self.networks.insert(key, known.clone());
        let has_others =
            former.as_ref().is_some_and(|former| former.listeners() != known.listeners());
        if has_others {
            self.tell_listeners(key, &known).await?;
        }
        self.tell_clusters(key, former.as_deref(), &known);
        self.open_gates(key, &known).await;
        if let Some(former) = &former {
            self.close_gates(key, former, &known).await;
        }
        Ok(has_others || former.is_none_or(|former| former.clusters != known.clusters))
    }

    /// Tells clusters of the endpoints that are known, before they are told that they carry frames
    /// to them.
    async fn tell_listeners(
        &self,
        key: &NetworkKey,
        known: &KnownNetwork,
    ) -> Result<(), ReconcileError> {
        for endpoint in self.store.endpoints_of(key).await? {
            let audience = known.audience(&endpoint);
            // Its own worker may take it back meanwhile.
            self.exchange.update(&ItemKey::Endpoint(endpoint), |notice| Notice {
                audience,
                item: notice.item.clone(),
            });
        }
        Ok(())
    }

    /// Tells each cluster of its own part of the plans.
    fn tell_clusters(&self, key: &NetworkKey, former: Option<&KnownNetwork>, known: &KnownNetwork) {
        let item_key =
            |cluster: &Name| ItemKey::Handoff { network: key.clone(), cluster: cluster.clone() };
        let passages = known.plans.passages(&known.clusters);
        let crossed = known.crossed_clusters();
        for cluster in former.iter().flat_map(|former| former.crossed_clusters()) {
            if !crossed.contains(cluster) {
                self.exchange.remove(&item_key(cluster));
            }
        }
        for cluster in crossed {
            let mut crossings = passages.iter().map(|passage| crossing(passage, cluster));
            let Some(current) = crossings.next() else { continue };
            let item = Item::Handoff { vni: known.vni, current, other: crossings.next() };
            let notice = Notice { audience: vec![cluster.clone()], item };
            self.exchange.put(item_key(cluster), notice);
        }
    }

    async fn open_gates(&self, key: &NetworkKey, known: &KnownNetwork) {
        let network = NetworkSpec { vni: known.vni, slice: key.slice.clone() };
        let ports = known.ports(key, &self.trunk).into_values();
        // Side by side: each waits for its switches.
        let opening = join_all(ports.map(|port| self.fabric.put_port(port)));
        tokio::join!(self.fabric.put_network(network), opening);
    }

    /// Closes the gates that are not in `kept`; returns when the switches have confirmed it.
    async fn close_gates(&self, key: &NetworkKey, known: &KnownNetwork, kept: &KnownNetwork) {
        let kept = kept.ports(key, &self.trunk);
        let lost = known.ports(key, &self.trunk).into_keys().filter(|id| !kept.contains_key(id));
        join_all(lost.map(|id| self.fabric.remove_port(id))).await;
    }

    async fn make_network(
        &self,
        mut stored: StoredNetwork,
    ) -> Result<Option<Problem>, ReconcileError> {
        let Some(slice) = self.slice_of(&stored).await? else { return Ok(None) };
        let Decision { plans, planned_for, unreached, waits } =
            decide(&stored, &slice, self.may_wait(&stored.network.key));
        self.note_waiting(&stored.network.key, waits);
        if planned_for != stored.planned_for || plans != stored.plans {
            // Before anybody is told: a plan that was told and then forgotten might be followed by
            // another one of the same epoch.
            let vni = stored.identity.vni;
            if !self.store.store_plans(vni, &plans, planned_for).await? {
                self.queues.wake(Key::Network(stored.network.key));
                return Ok(None);
            }
            let epoch = plans.latest().epoch();
            if epoch != stored.plans.latest().epoch() {
                let network = &stored.network.key;
                tracing::info!(%network, %epoch, "crosses clusters by another way");
            }
            (stored.plans, stored.planned_for) = (plans, planned_for);
        }
        if self.admit_network(&stored).await? {
            self.wake_endpoints(&stored.network.key).await?;
        }
        self.advance(&stored).await?;
        if stored.plans.stage() == Stage::Settled {
            self.forget_leaving(&stored.network.key.slice, &slice).await?;
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
            plans: Succession::default(),
        });
        self.forget_progress(key);
        let former = self.networks.insert(key, retired.clone());
        if former.as_ref() != Some(&retired) {
            if let Some(former) = former {
                self.tell_clusters(key, Some(&former), &retired);
                self.close_gates(key, &former, &retired).await;
            }
            self.wake_endpoints(key).await?;
        }
        self.fabric.remove_network(stored.identity.vni).await;
        match self.store.forget_network(key).await? {
            NetworkRemoval::Gone => {
                self.forget_network(key);
                // It may have been the last to go by what its slice has lost.
                self.queues.wake(Key::Slice(key.slice.clone()));
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
        self.waiting.remove(key);
        self.forget_progress(key);
        self.status.remove(&ObjectKey::Network(key.clone()));
    }
}

/// What a cluster is told of a plan.
fn crossing(passage: &Passage, cluster: &Name) -> Crossing {
    let own = passage.gates.iter().filter(|gate| gate.gateway.cluster == *cluster);
    let gates = own.map(|gate| (gate.gateway.node.clone(), gate.outward.clone()));
    Crossing { epoch: passage.epoch, gates: gates.collect() }
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
