use l2sces_controller::{LinkEnd, LinkSpec, SliceSpec};
use l2sces_model::Name;

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{Key, Slice},
    fabric::{datapath_id, tunnel_interface},
};

impl Reconciler {
    /// A slice that changes is made before it is broken: first the agents make the tunnels that it
    /// lacks, then the switches lead its frames over them, and only then do the agents remove the
    /// tunnels that no slice uses any more.
    pub(super) async fn reconcile_slice(&self, name: &Name) -> Result<(), ReconcileError> {
        let Some(slice) = self.store.slice(name).await? else { return Ok(()) };
        self.board.put_slice(&slice);
        if slice.deleting {
            return self.delete_slice(&slice).await;
        }
        // Its nodes wake it when they have got them.
        if self.tunnels.serve(&slice.links()) {
            self.fabric.put_slice(self.slice_spec(&slice)).await;
            self.let_go_of_former_links(&slice).await?;
        }
        Ok(())
    }

    /// Lets the agents remove the tunnels that the slice has lost, once no switch uses them.
    async fn let_go_of_former_links(&self, slice: &Slice) -> Result<(), ReconcileError> {
        let (name, topology) = (&slice.spec.name, slice.topology);
        // Before it is complete the fabric touches no switch.
        if !self.uplink.is_complete() {
            return Ok(());
        }
        let ends = self.store.former_ends(name, topology).await?;
        // Their nodes wake it when they are known to have followed.
        if ends.iter().any(|node| self.board.may_follow(node) && self.watches.fault(node).is_none())
        {
            return Ok(());
        }
        for node in self.store.forget_former_links(name, topology).await? {
            self.queue.wake(Key::Node(node));
        }
        Ok(())
    }

    /// Flows go before tunnels: Open vSwitch gives a tunnel's port number to another port.
    async fn delete_slice(&self, slice: &Slice) -> Result<(), ReconcileError> {
        if !self.uplink.is_complete() {
            return Ok(());
        }
        let name = &slice.spec.name;
        self.fabric.remove_slice(name.clone()).await;
        self.store.remove_slice(name).await?;
        self.board.remove(&Key::Slice(name.clone()), &slice.spec.version);
        slice.spec.nodes.iter().for_each(|node| self.queue.wake(Key::Node(node.clone())));
        Ok(())
    }

    pub(super) fn slice_spec(&self, slice: &Slice) -> SliceSpec {
        let id = |node: &Name| datapath_id(&self.cluster, node);
        let end = |node: &Name, peer: &Name| LinkEnd {
            switch: id(node),
            interface: tunnel_interface(&self.cluster, peer),
        };
        let links = slice.links().into_iter().map(|link| LinkSpec {
            a: end(&link.a, &link.b),
            b: end(&link.b, &link.a),
            cost: link.cost.into(),
        });
        SliceSpec {
            name: slice.spec.name.clone(),
            ordinal: slice.ordinal,
            switches: slice.spec.nodes.iter().map(id).collect(),
            links: links.collect(),
            avoid_transit: slice.spec.avoid_transit.iter().map(id).collect(),
        }
    }
}
