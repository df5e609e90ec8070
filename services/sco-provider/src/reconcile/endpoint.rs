use l2sces_controller::EndpointSpec;
use l2sces_model::{MacAddress, Vni};

use super::{ReconcileError, Reconciler, network::KnownNetwork};
use crate::{
    domain::{EndpointKey, Key, StoredEndpoint},
    downstream::{Agents, Fabric, Names},
    exchange::{Item, ItemKey, Notice},
};

/// An endpoint as the switches know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnnouncedEndpoint {
    vni: Vni,
    mac: MacAddress,
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    pub(super) async fn reconcile_endpoint(&self, key: &EndpointKey) -> Result<(), ReconcileError> {
        match self.store.endpoint(key).await? {
            None => self.withdraw_endpoint(key).await,
            Some(stored) if stored.deleting => self.remove_endpoint(&stored).await,
            Some(stored) => self.make_endpoint(&stored).await,
        }
    }

    async fn make_endpoint(&self, stored: &StoredEndpoint) -> Result<(), ReconcileError> {
        let key = &stored.endpoint.key;
        if stored.named {
            self.queues.wake(Key::Name(key.clone()));
        }
        // Until its network is known there is nothing to announce; the network wakes it then.
        let Some(network) = self.networks.get(&key.network) else { return Ok(()) };
        match self.admit_endpoint(stored, &network).await {
            Some(former) => self.wake_holder(former).await,
            None => Ok(()),
        }
    }

    /// Tells the engine of an endpoint, and then the other clusters: they forward frames to it as
    /// soon as they know it, and the switches between clusters must know the way by then. Returns
    /// what the engine was made to forget of it, if anything.
    pub(super) async fn admit_endpoint(
        &self,
        stored: &StoredEndpoint,
        network: &KnownNetwork,
    ) -> Option<AnnouncedEndpoint> {
        let endpoint = &stored.endpoint;
        let key = &endpoint.key;
        let former = if network.crosses_clusters() {
            let announced = AnnouncedEndpoint { vni: network.vni, mac: endpoint.mac };
            let former = self.endpoints.get(key).filter(|former| *former != announced);
            if former.is_some() {
                self.retract_endpoint(key).await;
            }
            self.endpoints.insert(key, announced);
            let spec = EndpointSpec {
                vni: network.vni,
                mac: endpoint.mac,
                region: key.cluster.clone(),
                is_learned: false,
            };
            self.fabric.put_endpoint(spec).await;
            former
        } else {
            self.retract_endpoint(key).await
        };
        let audience = network.listeners().into_iter().filter(|cluster| **cluster != key.cluster);
        let item = Item::Endpoint { endpoint: endpoint.clone(), vni: network.vni };
        let notice = Notice { audience: audience.cloned().collect(), item };
        self.exchange.put(ItemKey::Endpoint(key.clone()), notice);
        former
    }

    async fn remove_endpoint(&self, stored: &StoredEndpoint) -> Result<(), ReconcileError> {
        let key = &stored.endpoint.key;
        if stored.named {
            // Wakes the endpoint when the DNS has confirmed.
            self.queues.wake(Key::Name(key.clone()));
        }
        self.withdraw_endpoint(key).await?;
        if self.store.forget_endpoint(key).await? {
            self.queues.wake(Key::Network(key.network.clone()));
        }
        Ok(())
    }

    /// Takes an endpoint back from the other clusters and the engine.
    async fn withdraw_endpoint(&self, key: &EndpointKey) -> Result<(), ReconcileError> {
        self.exchange.remove(&ItemKey::Endpoint(key.clone()));
        match self.retract_endpoint(key).await {
            Some(former) => self.wake_holder(former).await,
            None => Ok(()),
        }
    }

    async fn retract_endpoint(&self, key: &EndpointKey) -> Option<AnnouncedEndpoint> {
        let former = self.endpoints.get(key)?;
        self.fabric.remove_endpoint(former.vni, former.mac).await;
        self.endpoints.remove(key)
    }

    /// Has the endpoint announced again that now has the MAC address which another has just been
    /// taken back with: the engine knows endpoints by MAC address.
    async fn wake_holder(&self, former: AnnouncedEndpoint) -> Result<(), ReconcileError> {
        if let Some(holder) = self.store.endpoint_with(former.vni, former.mac).await? {
            self.queues.wake(Key::Endpoint(holder));
        }
        Ok(())
    }
}
