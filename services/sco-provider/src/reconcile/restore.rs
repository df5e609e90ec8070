use super::{ReconcileError, Reconciler};
use crate::{
    domain::Key,
    downstream::{Agents, Fabric, Names},
};

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    /// Puts all that is stored before the clusters and the engine, tells the engine that this is
    /// all, and has everything reconciled. To be called once, before anybody is served: until then
    /// what watchers see is not the whole.
    ///
    /// # Errors
    /// The store failed.
    pub async fn restore(&self) -> Result<(), ReconcileError> {
        for stored in self.store.gateways().await? {
            if stored.deleting {
                self.expect_gateway_gone(&stored);
            } else {
                self.admit_gateway(&stored).await;
            }
            self.queues.wake(Key::Gateway(stored.gateway.key));
        }
        for stored in self.store.slices().await? {
            if stored.deleting {
                self.expect_slice_gone(&stored);
            } else {
                self.admit_slice(&stored).await;
            }
            self.queues.wake(Key::Slice(stored.slice.name));
        }
        for stored in self.store.networks().await? {
            if stored.deleting {
                self.expect_network_gone(&stored);
            } else {
                self.admit_network(&stored).await?;
            }
            self.queues.wake(Key::Network(stored.network.key));
        }
        for stored in self.store.endpoints().await? {
            if let Some(network) = self.networks.get(&stored.endpoint.key.network)
                && !stored.deleting
                && let Some(announced) = self.admit_endpoint(&stored, &network).await
            {
                self.endpoints.insert(&stored.endpoint.key, announced);
            }
            self.queues.wake(Key::Endpoint(stored.endpoint.key));
        }
        self.fabric.set_complete().await;
        Ok(())
    }
}
