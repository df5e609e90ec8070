use l2sces_controller::EndpointSpec;
use l2sces_model::{MacAddress, Vni};
use l2sces_trace::TraceContext;

use super::{ReconcileError, Reconciler, network::KnownNetwork};
use crate::{
    domain::{EndpointKey, Key, StoredEndpoint},
    downstream::{Agents, Fabric, Names},
    exchange::{Item, ItemKey, Notice},
};

/// An endpoint as the switches know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AnnouncedEndpoint {
    vni: Vni,
    mac: MacAddress,
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    pub(super) async fn reconcile_endpoint(&self, key: &EndpointKey) -> Result<(), ReconcileError> {
        let stored = self.store.endpoint(key).await?;
        TraceContext::link_current(stored.as_ref().and_then(|stored| stored.origin));
        match stored {
            None => self.withdraw_endpoint(key).await,
            Some(stored) if stored.deleting => self.remove_endpoint(&stored).await,
            Some(stored) => self.make_endpoint(&stored).await,
        }?;
        self.settle_handed_over().await
    }

    async fn make_endpoint(&self, stored: &StoredEndpoint) -> Result<(), ReconcileError> {
        let key = &stored.endpoint.key;
        if stored.named {
            self.queues.wake(Key::Name(key.clone()));
        }
        // Until its network is known there is nothing to announce; the network wakes it then.
        let Some(network) = self.networks.get(&key.network) else { return Ok(()) };
        let former = self.endpoints.get(key);
        let announced = self.admit_endpoint(stored, &network).await;
        if let Some(former) = former.filter(|former| announced != Some(*former)) {
            self.release_address(key, former).await?;
        }
        match announced {
            Some(announced) => self.endpoints.insert(key, announced),
            None => self.endpoints.remove(key),
        };
        self.dismiss(key, network.address(stored)).await
    }

    /// Tells the engine of an endpoint, and then the other clusters: they forward frames to it as
    /// soon as they know it, and the switches between clusters must know the way by then. Returns
    /// what the engine knows of it.
    pub(super) async fn admit_endpoint(
        &self,
        stored: &StoredEndpoint,
        network: &KnownNetwork,
    ) -> Option<AnnouncedEndpoint> {
        let endpoint = &stored.endpoint;
        let key = &endpoint.key;
        let announced = network.crosses_clusters().then(|| network.address(stored));
        if let Some(AnnouncedEndpoint { vni, mac }) = announced {
            let (region, is_learned) = (key.cluster.clone(), key.learned.is_some());
            self.fabric.put_endpoint(EndpointSpec { vni, mac, region, is_learned }).await;
        }
        // Others may have come to listen meanwhile.
        let audience = self.networks.get(&key.network).map(|network| network.audience(key));
        let audience = audience.unwrap_or_else(|| network.audience(key));
        let item = Item::Endpoint { endpoint: endpoint.clone(), vni: network.vni };
        let notice = Notice { audience, item };
        self.exchange.put(ItemKey::Endpoint(key.clone()), notice);
        announced
    }

    /// Has the endpoints go that had an address before, now that everybody knows where it is, or
    /// that it is nowhere: so there is no moment at which nobody knows who should. If it has gone on
    /// in the meantime, the endpoint that has it is told last.
    async fn dismiss(
        &self,
        key: &EndpointKey,
        address: AnnouncedEndpoint,
    ) -> Result<(), ReconcileError> {
        let claims = self.store.claims(address.vni, address.mac).await?;
        let shown =
            |former: &EndpointKey| self.exchange.get(&ItemKey::Endpoint(former.clone())).is_some();
        let others = claims.leaving.into_iter().filter(shown);
        let others = others.chain(claims.holder.filter(|holder| holder != key));
        others.for_each(|other| self.queues.wake(Key::Endpoint(other)));
        Ok(())
    }

    async fn remove_endpoint(&self, stored: &StoredEndpoint) -> Result<(), ReconcileError> {
        let key = &stored.endpoint.key;
        if stored.named {
            // Wakes the endpoint when the DNS has confirmed.
            self.queues.wake(Key::Name(key.clone()));
        }
        if let Some(network) = self.networks.get(&key.network)
            && self.awaits_heir(key, network.address(stored)).await?
        {
            return Ok(());
        }
        // The engine may know the address although this endpoint never told it: of the one that had
        // it before.
        if let Some(network) = self.networks.get(&key.network)
            && self.endpoints.get(key).is_none()
        {
            self.release_address(key, network.address(stored)).await?;
        }
        self.withdraw_endpoint(key).await?;
        if let Some(network) = self.networks.get(&key.network) {
            self.dismiss(key, network.address(stored)).await?;
        }
        if self.store.forget_endpoint(key).await? {
            self.queues.wake(Key::Network(key.network.clone()));
        }
        Ok(())
    }

    /// Whether another endpoint has the address of one that the clusters know, and is still to be
    /// announced: until then the clusters are to know the former place. Whoever announces that one
    /// wakes this.
    async fn awaits_heir(
        &self,
        key: &EndpointKey,
        address: AnnouncedEndpoint,
    ) -> Result<bool, ReconcileError> {
        if self.exchange.get(&ItemKey::Endpoint(key.clone())).is_none() {
            return Ok(false);
        }
        let holder = self.store.claims(address.vni, address.mac).await?.holder;
        Ok(holder.is_some_and(|holder| holder != *key && !self.announces(&holder, address)))
    }

    /// Takes an endpoint back from the other clusters and the engine.
    async fn withdraw_endpoint(&self, key: &EndpointKey) -> Result<(), ReconcileError> {
        self.exchange.remove(&ItemKey::Endpoint(key.clone()));
        if let Some(former) = self.endpoints.get(key) {
            self.release_address(key, former).await?;
            self.endpoints.remove(key);
        }
        Ok(())
    }

    /// Has the engine forget the address that an endpoint had, unless another has it by now. That
    /// one is announced again in any case: the engine knows endpoints by their addresses.
    async fn release_address(
        &self,
        key: &EndpointKey,
        address: AnnouncedEndpoint,
    ) -> Result<(), ReconcileError> {
        let holder = self.store.claims(address.vni, address.mac).await?.holder;
        match holder.filter(|holder| holder != key) {
            None => self.forget_address(address).await,
            Some(holder) => {
                self.handed_over.insert(&address, ());
                self.queues.wake(Key::Endpoint(holder));
                Ok(())
            }
        }
    }

    async fn forget_address(&self, address: AnnouncedEndpoint) -> Result<(), ReconcileError> {
        let AnnouncedEndpoint { vni, mac } = address;
        self.fabric.remove_endpoint(vni, mac).await;
        if let Some(holder) = self.store.claims(vni, mac).await?.holder {
            self.queues.wake(Key::Endpoint(holder));
        }
        Ok(())
    }

    /// Looks at the addresses that were left to another endpoint: it may have taken yet another
    /// before it came to announce this one, and then nobody has it.
    async fn settle_handed_over(&self) -> Result<(), ReconcileError> {
        for (address, ()) in self.handed_over.all() {
            match self.store.claims(address.vni, address.mac).await?.holder {
                Some(holder) if self.announces(&holder, address) => {
                    self.handed_over.remove(&address);
                }
                // Its own run is to come.
                Some(_) => {}
                None => {
                    self.handed_over.remove(&address);
                    self.forget_address(address).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether an endpoint has taken over what the engine knows of an address, or cannot.
    fn announces(&self, key: &EndpointKey, address: AnnouncedEndpoint) -> bool {
        let network = self.networks.get(&key.network);
        let crosses_clusters = network.is_some_and(|network| network.crosses_clusters());
        !crosses_clusters || self.endpoints.get(key) == Some(address)
    }
}

impl KnownNetwork {
    fn address(&self, stored: &StoredEndpoint) -> AnnouncedEndpoint {
        AnnouncedEndpoint { vni: self.vni, mac: stored.endpoint.mac }
    }
}
