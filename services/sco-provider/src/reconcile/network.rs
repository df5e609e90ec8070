use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use l2sces_controller::{NetworkSpec, PortRole, PortSpec};
use l2sces_model::{Name, Vni};

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{Key, NetworkKey, ObjectKey, SliceGateway, StoredNetwork},
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
    /// The gateway that each of them uses.
    pub(super) handoffs: BTreeMap<Name, SliceGateway>,
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
            Some(stored) => self.make_network(&stored).await,
        }
    }

    /// Tells the clusters, the engine and the watchers of a network. Returns whether its endpoints
    /// are concerned.
    pub(super) async fn admit_network(&self, stored: &StoredNetwork) -> bool {
        let key = &stored.network.key;
        let known = Arc::new(KnownNetwork {
            vni: stored.identity.vni,
            clusters: stored.network.clusters.clone(),
            handoffs: stored.handoffs(),
        });
        let ports = known.handoffs.keys().map(|cluster| Fact::Port(key.handoff_port(cluster)));
        self.status.expect(
            &ObjectKey::Network(key.clone()),
            &stored.network.version,
            Some(stored.identity),
            ports.collect(),
        );
        let former = self.networks.insert(key, known.clone());
        if let Some(former) = &former {
            self.withdraw_handoffs(key, former, &known.handoffs).await;
        }
        self.open_handoffs(key, &known).await;
        former.is_none_or(|former| former != known)
    }

    async fn open_handoffs(&self, key: &NetworkKey, known: &KnownNetwork) {
        for (cluster, gateway) in &known.handoffs {
            let item_key = ItemKey::Handoff { network: key.clone(), cluster: cluster.clone() };
            let item = Item::Handoff { vni: known.vni, node: gateway.key.node.clone() };
            self.exchange.put(item_key, Notice { audience: vec![cluster.clone()], item });
        }
        let network = NetworkSpec { vni: known.vni, slice: key.slice.clone() };
        let ports = known.handoffs.iter().map(|(cluster, gateway)| {
            self.fabric.put_port(PortSpec {
                id: key.handoff_port(cluster),
                vni: known.vni,
                switch: gateway.datapath_id,
                interface: self.trunk.clone(),
                role: PortRole::Trunk,
            })
        });
        // Side by side: each waits for its switches.
        tokio::join!(self.fabric.put_network(network), join_all(ports));
    }

    /// Takes back the handoffs of clusters that are not in `kept`.
    async fn withdraw_handoffs(
        &self,
        key: &NetworkKey,
        known: &KnownNetwork,
        kept: &BTreeMap<Name, SliceGateway>,
    ) {
        let lost = known.handoffs.keys().filter(|cluster| !kept.contains_key(*cluster));
        let ports = lost.map(|cluster| {
            self.exchange
                .remove(&ItemKey::Handoff { network: key.clone(), cluster: cluster.clone() });
            self.fabric.remove_port(key.handoff_port(cluster))
        });
        join_all(ports).await;
    }

    async fn make_network(
        &self,
        stored: &StoredNetwork,
    ) -> Result<Option<Problem>, ReconcileError> {
        if self.admit_network(stored).await {
            self.wake_endpoints(&stored.network.key).await?;
        }
        Ok(missing_gateway(stored))
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
            handoffs: BTreeMap::new(),
        });
        let former = self.networks.insert(key, retired.clone());
        if former.as_ref() != Some(&retired) {
            if let Some(former) = former {
                self.withdraw_handoffs(key, &former, &retired.handoffs).await;
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
fn missing_gateway(stored: &StoredNetwork) -> Option<Problem> {
    let clusters = &stored.network.clusters;
    if clusters.len() < 2 {
        return None;
    }
    let handoffs = stored.handoffs();
    let cluster = clusters.iter().find(|cluster| !handoffs.contains_key(*cluster))?;
    let message = format!("cluster {cluster} has no gateway in slice {}", stored.network.key.slice);
    Some(Problem::new("NoGateway", message))
}
