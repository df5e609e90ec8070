use l2sces_controller::NetworkSpec;
use l2sces_trace::TraceContext;

use super::{ReconcileError, Reconciler};
use crate::domain::{Key, Network, NetworkKey};

impl Reconciler {
    /// The fabric must know the networks that are stored, and those that cross the cluster on the
    /// sco-provider's word: a network may be either, or both. Their trunks and remote endpoints come
    /// by another way.
    pub(super) async fn reconcile_network(&self, key: &NetworkKey) -> Result<(), ReconcileError> {
        let stored = self.store.network(key).await?;
        if let Some(network) = &stored {
            TraceContext::link_current(network.origin);
            self.board.put_network(network);
        }
        let own = stored.as_ref().filter(|network| !network.deleting).map(network_spec);
        let carried = self.uplink.carried(key);
        let crossing = carried.vni.map(|vni| NetworkSpec { vni, slice: key.slice.clone() });
        let wanted = [own, crossing];
        for spec in wanted.iter().flatten() {
            self.fabric.put_network(spec.clone()).await;
        }
        if !self.uplink.is_complete() {
            return Ok(());
        }
        let is_wanted = |vni| wanted.iter().flatten().any(|spec| spec.vni == vni);
        for vni in carried.left {
            if !is_wanted(vni) {
                self.fabric.remove_network(vni).await;
            }
            self.uplink.forget_left(key, vni);
        }
        if let Some(network) = stored.filter(|network| network.deleting) {
            if !is_wanted(network.spec.vni) {
                self.fabric.remove_network(network.spec.vni).await;
            }
            self.store.remove_network(key).await?;
            self.board.remove(&Key::Network(key.clone()), &network.spec.version);
        }
        Ok(())
    }
}

pub(super) fn network_spec(network: &Network) -> NetworkSpec {
    NetworkSpec { vni: network.spec.vni, slice: network.spec.key.slice.clone() }
}
