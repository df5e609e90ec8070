use std::collections::BTreeSet;

use l2sces_controller::SwitchSpec;
use l2sces_model::{NED_TRUNK_INTERFACE, Name, SPS_TRUNK_INTERFACE, SPS_TUNNEL_UDP_PORT};
use l2sces_proto::switch::v1::{Switch, SwitchState, Trunk, TunnelLink};
use l2sces_trace::TraceContext;

use super::{ReconcileError, Reconciler, error::node_trouble, tunnels::Bridge};
use crate::{
    board::Fact,
    domain::{Key, Node, PortKey, Reason, Trouble},
    fabric::tunnel_interface,
};

impl Reconciler {
    pub(super) async fn reconcile_node(&self, name: &Name) -> Result<(), ReconcileError> {
        let Some(node) = self.store.node(name).await? else { return Ok(()) };
        TraceContext::link_current(node.origin);
        self.board.put_node(&node);
        if node.deleting {
            return self.delete_node(&node).await;
        }
        self.fabric.put_switch(self.switch_spec(&node)).await;
        self.watches.ensure(name, &node.spec.agent_endpoint);
        self.measurements.set(&node, &self.store.measured_slices_of(name).await?);
        let peers = self.store.peers(name).await?;
        let has_trunk = node.spec.gateway || self.keeps_trunk(&node);
        let switch = self.agent_switch(&node, &peers, has_trunk);
        let applied = self.agents.apply_switch(&node.spec.agent_endpoint, switch).await;
        let bridge = match &applied {
            Ok(_) => Bridge::Made(peers.into_iter().map(|peer| peer.spec.name).collect()),
            Err(_) => Bridge::Failed,
        };
        self.wake_slices(name, bridge).await?;
        let made = match applied {
            Ok(state) => check_tunnels(name, &state),
            Err(status) => Err(node_trouble(name, &status)),
        };
        if let Err(trouble) = made {
            let error = ReconcileError::Agent(trouble.message.clone());
            self.board.set_agent(name, Fact::Failed(trouble));
            return Err(error);
        }
        if !self.board.set_agent(name, Fact::Done(())) {
            // There may have been no bridge for them before.
            self.board.ports_on(name).into_iter().for_each(|key| self.queue.wake(Key::Port(key)));
        }
        if node.former_gateway && !has_trunk {
            self.store.forget_former_gateway(name).await?;
        }
        self.sweep(&node).await
    }

    /// Whether a node that is no gateway any more is to keep its trunk, because a network uses it,
    /// or because it is not known yet that none does.
    fn keeps_trunk(&self, node: &Node) -> bool {
        let is_used = !self.uplink.is_complete() || self.trunks.are_used(node.datapath_id);
        node.former_gateway && is_used
    }

    /// Wakes the slices that may have waited for the node: for its tunnels, or to let go of them.
    async fn wake_slices(&self, name: &Name, bridge: Bridge) -> Result<(), ReconcileError> {
        let mut slices = self.store.slices_leaving(name).await?;
        if self.tunnels.note(name, bridge) {
            slices.extend(self.store.slices_of(name).await?);
        }
        slices.into_iter().for_each(|slice| self.queue.wake(Key::Slice(slice)));
        Ok(())
    }

    async fn delete_node(&self, node: &Node) -> Result<(), ReconcileError> {
        if !self.uplink.is_complete() {
            return Ok(());
        }
        let name = &node.spec.name;
        if node.forced {
            if self.delete_ports_on(name).await? {
                return Ok(());
            }
        } else {
            // Frames are led around it first: whoever does that wakes it.
            let is_left = self.store.slices_leaving(name).await?.is_empty();
            if !is_left || self.trunks.are_used(node.datapath_id) {
                return Ok(());
            }
        }
        self.measurements.remove(name);
        self.unmake_bridge(node).await?;
        self.fabric.remove_switch(node.datapath_id).await;
        self.watches.stop(name);
        self.tunnels.forget(name);
        let peers = self.store.peers(name).await?;
        self.store.remove_node(name).await?;
        self.board.remove(&Key::Node(name.clone()), &node.spec.version);
        // What a slice had kept of its links is gone with it: those that waited for nothing have
        // tunnels to it still.
        peers.into_iter().for_each(|peer| self.queue.wake(Key::Node(peer.spec.name)));
        Ok(())
    }

    /// Has the ports of a node removed that is given up with them; whether there are any left. The last
    /// wakes the node.
    async fn delete_ports_on(&self, name: &Name) -> Result<bool, ReconcileError> {
        let ports = self.store.mark_ports_on(name).await?;
        for port in &ports {
            self.board.note_port(port);
            self.queue.wake(Key::Port(port.key.clone()));
        }
        Ok(!ports.is_empty())
    }

    /// Has the agent remove the bridge. A deletion that waits for nothing does not fail without it.
    async fn unmake_bridge(&self, node: &Node) -> Result<(), ReconcileError> {
        let name = &node.spec.name;
        if let Some(fault) = self.watches.fault(name).filter(|_| node.forced) {
            tracing::warn!(node = %name, fault, "node removed, its bridge left behind");
            return Ok(());
        }
        let Err(status) = self.agents.delete_switch(&node.spec.agent_endpoint).await else {
            return Ok(());
        };
        if node.forced {
            tracing::warn!(node = %name, %status, "node removed, its bridge left behind");
            return Ok(());
        }
        let trouble = node_trouble(name, &status);
        let error = ReconcileError::Agent(trouble.message.clone());
        self.board.set_agent(name, Fact::Failed(trouble));
        Err(error)
    }

    /// Removes the ports that the node's agent has for nobody: those of objects that were deleted
    /// or have moved. What the agent has was read before what is stored, and what is stored is
    /// stored before the agent makes it, so that nothing new is taken for a left-over.
    async fn sweep(&self, node: &Node) -> Result<(), ReconcileError> {
        let name = &node.spec.name;
        let Some(ports) = self.watches.ports(name) else { return Ok(()) };
        let wanted: BTreeSet<String> = self
            .store
            .ports_on(name)
            .await?
            .into_iter()
            .map(|port| port.interface_name.to_string())
            .collect();
        // Ports without an owner of our notation were not made for this controller.
        let left_over = ports.into_iter().filter(|port| {
            !wanted.contains(&port.interface_name) && port.owner.parse::<PortKey>().is_ok()
        });
        for port in left_over {
            tracing::info!(node = %name, interface = port.interface_name, owner = port.owner,
                "removing a port that nobody wants");
            self.agents
                .delete_port(&node.spec.agent_endpoint, &port.interface_name)
                .await
                .map_err(|status| ReconcileError::Agent(node_trouble(name, &status).message))?;
        }
        Ok(())
    }

    pub(super) fn switch_spec(&self, node: &Node) -> SwitchSpec {
        SwitchSpec {
            id: node.datapath_id,
            ordinal: node.ordinal,
            name: node.spec.name.to_string(),
            cluster: self.cluster.clone(),
            node: node.spec.name.clone(),
        }
    }

    fn agent_switch(&self, node: &Node, peers: &[Node], has_trunk: bool) -> Switch {
        let links = peers.iter().map(|peer| TunnelLink {
            interface_name: tunnel_interface(&self.cluster, &peer.spec.name).to_string(),
            remote_address: peer.spec.underlay_address.to_string(),
            local_address: node.spec.underlay_address.to_string(),
            udp_port: SPS_TUNNEL_UDP_PORT.into(),
            bfd_interval_ms: self.bfd_interval_ms,
        });
        let trunk = has_trunk.then(|| Trunk {
            interface_name: SPS_TRUNK_INTERFACE.to_owned(),
            peer_interface_name: NED_TRUNK_INTERFACE.to_owned(),
        });
        Switch {
            datapath_id: node.datapath_id.get(),
            controllers: self.controllers.clone(),
            links: links.collect(),
            trunk,
        }
    }
}

fn check_tunnels(node: &Name, state: &SwitchState) -> Result<(), Trouble> {
    match state.links.iter().find(|link| !link.error.is_empty()) {
        None => Ok(()),
        Some(link) => {
            let message = format!(
                "tunnel {} of node {node} does not work: {}",
                link.interface_name, link.error
            );
            Err(Trouble::new(Reason::TunnelFailed, message))
        }
    }
}
