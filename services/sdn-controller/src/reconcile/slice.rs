use l2sces_controller::{LinkEnd, LinkSpec, SliceSpec};
use l2sces_model::Name;

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{Key, Slice},
    fabric::{datapath_id, tunnel_interface},
};

/// Every tunnel of a cluster costs the same.
const LINK_COST: u32 = 1;

impl Reconciler {
    pub(super) async fn reconcile_slice(&self, name: &Name) -> Result<(), ReconcileError> {
        let Some(slice) = self.store.slice(name).await? else { return Ok(()) };
        self.board.put_slice(&slice);
        if !slice.deleting {
            self.fabric.put_slice(self.slice_spec(&slice)).await;
            return Ok(());
        }
        if !self.uplink.is_complete() {
            return Ok(());
        }
        self.fabric.remove_slice(name.clone()).await;
        self.store.remove_slice(name).await?;
        self.board.remove(&Key::Slice(name.clone()), &slice.spec.version);
        Ok(())
    }

    pub(super) fn slice_spec(&self, slice: &Slice) -> SliceSpec {
        let end = |node: &Name, peer: &Name| LinkEnd {
            switch: datapath_id(&self.cluster, node),
            interface: tunnel_interface(&self.cluster, peer),
        };
        SliceSpec {
            name: slice.spec.name.clone(),
            ordinal: slice.ordinal,
            switches: slice
                .spec
                .nodes
                .iter()
                .map(|node| datapath_id(&self.cluster, node))
                .collect(),
            links: slice
                .pairs()
                .into_iter()
                .map(|(a, b)| LinkSpec { a: end(a, b), b: end(b, a), cost: LINK_COST })
                .collect(),
        }
    }
}
