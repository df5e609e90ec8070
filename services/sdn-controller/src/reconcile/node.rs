use std::collections::BTreeSet;

use l2sces_controller::SwitchSpec;
use l2sces_model::{NED_TRUNK_INTERFACE, Name, SPS_TRUNK_INTERFACE, SPS_TUNNEL_UDP_PORT};
use l2sces_proto::switch::v1::{Switch, SwitchState, Trunk, TunnelLink};

use super::{ReconcileError, Reconciler, error::node_trouble};
use crate::{
    board::Fact,
    domain::{Key, Node, PortKey, Reason, Trouble},
    fabric::tunnel_interface,
};

impl Reconciler {
    pub(super) async fn reconcile_node(&self, name: &Name) -> Result<(), ReconcileError> {
        let Some(node) = self.store.node(name).await? else { return Ok(()) };
        self.board.put_node(&node);
        if node.deleting {
            return self.delete_node(&node).await;
        }
        self.fabric.put_switch(self.switch_spec(&node)).await;
        self.watches.ensure(name, &node.spec.agent_endpoint);
        let peers = self.store.peers(name).await?;
        let switch = self.agent_switch(&node, &peers);
        let applied = self.agents.apply_switch(&node.spec.agent_endpoint, switch).await;
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
        self.sweep(&node).await
    }

    async fn delete_node(&self, node: &Node) -> Result<(), ReconcileError> {
        if !self.uplink.is_complete() {
            return Ok(());
        }
        let name = &node.spec.name;
        self.agents.delete_switch(&node.spec.agent_endpoint).await.map_err(|status| {
            let trouble = node_trouble(name, &status);
            let error = ReconcileError::Agent(trouble.message.clone());
            self.board.set_agent(name, Fact::Failed(trouble));
            error
        })?;
        self.fabric.remove_switch(node.datapath_id).await;
        self.watches.stop(name);
        self.store.remove_node(name).await?;
        self.board.remove(&Key::Node(name.clone()), &node.spec.version);
        Ok(())
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
        SwitchSpec { id: node.datapath_id, ordinal: node.ordinal, name: node.spec.name.to_string() }
    }

    fn agent_switch(&self, node: &Node, peers: &[Node]) -> Switch {
        let links = peers.iter().map(|peer| TunnelLink {
            interface_name: tunnel_interface(&self.cluster, &peer.spec.name).to_string(),
            remote_address: peer.spec.underlay_address.to_string(),
            local_address: node.spec.underlay_address.to_string(),
            udp_port: SPS_TUNNEL_UDP_PORT.into(),
        });
        let trunk = node.spec.gateway.then(|| Trunk {
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
