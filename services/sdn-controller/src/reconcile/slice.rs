use std::collections::BTreeSet;

use l2sces_controller::{LinkEnd, LinkSpec, SliceSpec};
use l2sces_model::Name;
use l2sces_trace::TraceContext;

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{Key, Link, Slice},
    fabric::{datapath_id, tunnel_interface},
    store::StoreError,
};

impl Reconciler {
    /// A slice that changes is made before it is broken: first the agents make the tunnels that it
    /// lacks, then the switches lead its frames over them, and only then do the agents remove the
    /// tunnels that no slice uses any more.
    pub(super) async fn reconcile_slice(&self, name: &Name) -> Result<(), ReconcileError> {
        let Some(slice) = self.store.slice(name).await? else { return Ok(()) };
        TraceContext::link_current(slice.origin);
        self.board.put_slice(&slice);
        if slice.deleting {
            return self.delete_slice(&slice).await;
        }
        // Its nodes wake it when they have got them.
        if self.tunnels.serve(&slice.links()) {
            let spec = self.slice_in_use(&slice).await?;
            let is_left = spec.switches.len() > slice.spec.nodes.len();
            self.fabric.put_slice(spec).await;
            if !is_left {
                self.let_go_of_former_links(&slice).await?;
            }
        }
        Ok(())
    }

    /// The slice as the switches are to have it: with the gateways that it has lost, and the links
    /// to them, while networks leave the cluster there, or it is not known that none does. Who leaves
    /// the last such trunk wakes the slice.
    pub(super) async fn slice_in_use(&self, slice: &Slice) -> Result<SliceSpec, StoreError> {
        let (name, nodes) = (&slice.spec.name, &slice.spec.nodes);
        let mut spec = self.slice_spec(slice);
        let former = self.store.former_links(name).await?;
        let is_crossed = |node: &Name| {
            let switch = datapath_id(&self.cluster, node);
            !self.uplink.is_complete() || self.trunks.are_used_by(name, switch)
        };
        let ends = former.iter().flat_map(|link| [&link.a, &link.b]);
        let left: BTreeSet<&Name> =
            ends.filter(|node| !nodes.contains(node) && is_crossed(node)).collect();
        let links = former.iter().filter(|link| {
            let ends = [&link.a, &link.b];
            ends.iter().any(|end| left.contains(end))
                && ends.iter().all(|end| left.contains(end) || nodes.contains(end))
        });
        spec.links.extend(links.map(|link| self.link_spec(link)));
        spec.switches.extend(left.into_iter().map(|node| datapath_id(&self.cluster, node)));
        Ok(spec)
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
        SliceSpec {
            name: slice.spec.name.clone(),
            ordinal: slice.ordinal,
            switches: slice.spec.nodes.iter().map(id).collect(),
            links: slice.links().iter().map(|link| self.link_spec(link)).collect(),
            avoid_transit: slice.spec.avoid_transit.iter().map(id).collect(),
            is_measured: slice.spec.measurement.is_some(),
        }
    }

    fn link_spec(&self, link: &Link) -> LinkSpec {
        let end = |node: &Name, peer: &Name| LinkEnd {
            switch: datapath_id(&self.cluster, node),
            interface: tunnel_interface(&self.cluster, peer),
        };
        LinkSpec { a: end(&link.a, &link.b), b: end(&link.b, &link.a), cost: link.cost.into() }
    }
}
