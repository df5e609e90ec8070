use l2sces_controller::NetworkSpec;

use super::{ReconcileError, Reconciler};
use crate::domain::{Key, Network, NetworkKey};

impl Reconciler {
    /// Handoffs and remote endpoints of the network come from the sco-provider by another way.
    pub(super) async fn reconcile_network(&self, key: &NetworkKey) -> Result<(), ReconcileError> {
        let Some(network) = self.store.network(key).await? else { return Ok(()) };
        self.board.put_network(&network);
        if !network.deleting {
            self.fabric.put_network(network_spec(&network)).await;
            return Ok(());
        }
        if !self.uplink.is_complete() {
            return Ok(());
        }
        self.fabric.remove_network(network.spec.vni).await;
        self.store.remove_network(key).await?;
        self.board.remove(&Key::Network(key.clone()), &network.spec.version);
        Ok(())
    }
}

pub(super) fn network_spec(network: &Network) -> NetworkSpec {
    NetworkSpec { vni: network.spec.vni, slice: network.spec.key.slice.clone() }
}
