use l2sces_controller::SliceSpec;
use l2sces_model::Name;

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{GatewayKey, Key, ObjectKey, StoredSlice, links},
    downstream::{Agents, Fabric, Names},
    status::{Fact, Problem},
};

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    pub(super) async fn reconcile_slice(
        &self,
        name: &Name,
    ) -> Result<Option<Problem>, ReconcileError> {
        match self.store.slice(name).await? {
            None => {
                self.forget_slice(name);
                Ok(None)
            }
            Some(stored) if stored.deleting => self.remove_slice(&stored).await,
            Some(stored) => self.make_slice(&stored).await,
        }
    }

    /// Tells the engine and the watchers of a slice. Returns the gateways that it had before, if
    /// it was known.
    pub(super) async fn admit_slice(&self, stored: &StoredSlice) -> Option<Vec<GatewayKey>> {
        let slice = &stored.slice;
        let links = links(slice);
        let needs =
            if links.is_empty() { Vec::new() } else { vec![Fact::Links(slice.name.clone())] };
        self.status.expect(&ObjectKey::Slice(slice.name.clone()), &slice.version, None, needs);
        let switches = slice.gateways.iter().map(GatewayKey::datapath_id).collect();
        let spec = SliceSpec { name: slice.name.clone(), ordinal: stored.ordinal, switches, links };
        self.fabric.put_slice(spec).await;
        self.slices.insert(&slice.name, slice.gateways.clone())
    }

    async fn make_slice(&self, stored: &StoredSlice) -> Result<Option<Problem>, ReconcileError> {
        let slice = &stored.slice;
        let former = self.admit_slice(stored).await.unwrap_or_default();
        // The tunnels are the gateways', and which gateway serves a network is the network's.
        let lost = former.iter().filter(|gateway| !slice.gateways.contains(gateway));
        for gateway in slice.gateways.iter().chain(lost) {
            self.queues.wake(Key::Gateway(gateway.clone()));
        }
        if former != slice.gateways {
            for network in self.store.networks_of(&slice.name).await? {
                self.queues.wake(Key::Network(network));
            }
        }
        Ok(None)
    }

    async fn remove_slice(&self, stored: &StoredSlice) -> Result<Option<Problem>, ReconcileError> {
        let name = &stored.slice.name;
        self.expect_slice_gone(stored);
        self.fabric.remove_slice(name.clone()).await;
        let unconfirmed = self.gateways_with_old_tunnels(stored).await?;
        if let Some(gateway) = unconfirmed.first() {
            let message = format!("gateway {gateway} has not confirmed that its tunnels are gone");
            // These only: each wakes the slice when it is done, and must not be woken for that.
            for gateway in unconfirmed {
                self.queues.wake(Key::Gateway(gateway.clone()));
            }
            return Ok(Some(Problem::new("Deleting", message)));
        }
        if self.store.forget_slice(name).await? {
            self.forget_slice(name);
        } else {
            // It was wanted again meanwhile.
            self.queues.wake(Key::Slice(name.clone()));
        }
        Ok(None)
    }

    /// Tells the watchers that a slice is on its way out.
    pub(super) fn expect_slice_gone(&self, stored: &StoredSlice) {
        let object = ObjectKey::Slice(stored.slice.name.clone());
        self.status.expect_gone(&object, &stored.slice.version, None);
    }

    /// The gateways of a slice on its way out that have not confirmed to have just the tunnels that
    /// the other slices want.
    async fn gateways_with_old_tunnels<'slice>(
        &self,
        stored: &'slice StoredSlice,
    ) -> Result<Vec<&'slice GatewayKey>, ReconcileError> {
        let mut unconfirmed = Vec::new();
        for gateway in &stored.slice.gateways {
            let wanted = self.store.gateway_links(gateway).await?.peers;
            if self.gateways.get(gateway).is_none_or(|applied| applied.peers != wanted) {
                unconfirmed.push(gateway);
            }
        }
        Ok(unconfirmed)
    }

    fn forget_slice(&self, name: &Name) {
        self.slices.remove(name);
        self.status.remove(&ObjectKey::Slice(name.clone()));
    }
}
