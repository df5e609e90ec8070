use l2sces_controller::{PortRole, PortSpec};
use l2sces_model::Name;
use l2sces_proto::{
    sco::v1::{Endpoint, EndpointKey, NetworkKey},
    switch::v1::{
        InterfaceAttachment, NamespaceAttachment, Port as AgentPort, port::Attachment as InAgent,
    },
};
use l2sces_trace::TraceContext;
use tokio::join;
use tonic::Code;

use super::{
    ReconcileError, Reconciler,
    error::{announcement_trouble, node_trouble, port_trouble},
    learned::learned_key,
};
use crate::{
    board::Fact,
    domain::{Attachment, Key, Port, PortKey, Reason, Trouble},
    fabric::port_id,
};

impl Reconciler {
    pub(super) async fn reconcile_port(&self, key: &PortKey) -> Result<(), ReconcileError> {
        let Some(port) = self.store.port(key).await? else { return Ok(()) };
        TraceContext::link_current(port.origin);
        self.board.put_port(&port);
        if port.deleting {
            return self.delete_port(&port).await;
        }
        // The fabric waits for the interface by itself.
        let (_, made) = join!(self.fabric.put_port(port_spec(&port)), self.make(&port));
        // Even if it could not be made anew: its flows may be live.
        let announced = self.announce(&port).await;
        let passed_on = self.pass_on_learned(&port).await;
        made.and(announced)?;
        self.introduce(&port).await?;
        passed_on
    }

    /// Has a port that has become live tell its network where its address is: another that had it
    /// before may be remembered. A port that nobody remembers is found without, so that a failure
    /// is none of the port's.
    async fn introduce(&self, port: &Port) -> Result<(), ReconcileError> {
        let facts = self.board.port_facts(&port.key);
        let is_live = facts.is_some_and(|facts| {
            facts.flows == Fact::Done(()) && matches!(facts.announcement, Fact::Done(_))
        });
        let has_namespace = matches!(port.attachment, Attachment::Namespace { .. });
        let can_tell = has_namespace && port.address.is_some();
        if !can_tell || port.introduced || !is_live || self.watches.fault(&port.node).is_some() {
            return Ok(());
        }
        let told = self.agents.announce_port(&port.agent_endpoint, agent_port(port)).await;
        if let Err(status) = told {
            tracing::info!(port = %port.key, %status, "the port could not tell its address");
            return Ok(());
        }
        Ok(self.store.note_introduced(&port.key, &port.version).await?)
    }

    /// Has the node's agent make the port, unless it has.
    async fn make(&self, port: &Port) -> Result<(), ReconcileError> {
        let wanted = agent_port(port);
        let mut settled = false;
        self.board.change_port(&port.key, |facts| {
            settled = facts.agent == Fact::Done(wanted.clone()) && !facts.recheck;
            // Taken back before the call: what happens during the call wants another.
            facts.recheck = false;
        });
        if settled {
            return Ok(());
        }
        if let Some(fault) = self.watches.fault(&port.node) {
            let message = format!("the sps-agent of node {} is unreachable: {fault}", port.node);
            self.not_made(port, Trouble::new(Reason::AgentUnreachable, message));
            return Ok(());
        }
        match self.agents.apply_port(&port.agent_endpoint, wanted.clone()).await {
            Ok(state) if state.error.is_empty() => {
                self.board.change_port(&port.key, |facts| facts.agent = Fact::Done(wanted));
                Ok(())
            }
            Ok(state) => {
                let (interface, error) = (&port.interface_name, state.error);
                let message =
                    format!("interface {interface} of node {} does not work: {error}", port.node);
                Err(self.not_made(port, Trouble::new(Reason::AgentRefused, message)))
            }
            Err(status) => {
                if status.code() == Code::FailedPrecondition {
                    // Perhaps there is no bridge.
                    self.queue.wake(Key::Node(port.node.clone()));
                }
                Err(self.not_made(port, port_trouble(port, &status)))
            }
        }
    }

    fn not_made(&self, port: &Port, trouble: Trouble) -> ReconcileError {
        let error = ReconcileError::Agent(trouble.message.clone());
        self.board.change_port(&port.key, |facts| {
            facts.recheck = true;
            facts.agent = Fact::Failed(trouble);
        });
        error
    }

    /// Tells the other clusters of the port, once its flows are live. It is not withdrawn before
    /// its deletion: when the controller loses sight of a switch, frames go on being delivered.
    async fn announce(&self, port: &Port) -> Result<(), ReconcileError> {
        let wanted = endpoint(&self.cluster, port);
        let Some(facts) = self.board.port_facts(&port.key) else { return Ok(()) };
        if facts.flows != Fact::Done(()) || facts.announcement == Fact::Done(wanted.clone()) {
            return Ok(());
        }
        if let Some(fault) = self.uplink.fault() {
            self.not_announced(port, unreachable(&fault));
            return Ok(());
        }
        match self.exchange.apply_endpoint(wanted.clone()).await {
            Ok(()) => {
                self.board.change_port(&port.key, |facts| facts.announcement = Fact::Done(wanted));
                Ok(())
            }
            Err(status) => Err(self.not_announced(port, announcement_trouble(port, &status))),
        }
    }

    fn not_announced(&self, port: &Port, trouble: Trouble) -> ReconcileError {
        let error = ReconcileError::Exchange(trouble.message.clone());
        self.board.change_port(&port.key, |facts| facts.announcement = Fact::Failed(trouble));
        error
    }

    /// Removes all that was made for a port: its flows first, so that it is isolated whatever else
    /// fails, and so that no flow is left that speaks of a port number which Open vSwitch may give
    /// to another port.
    async fn delete_port(&self, port: &Port) -> Result<(), ReconcileError> {
        if !self.uplink.is_complete() {
            return Ok(());
        }
        self.fabric.remove_port(port_id(&port.key)).await;
        self.board.change_port(&port.key, |facts| facts.flows = Fact::Unknown);
        let (withdrawn, removed) = join!(self.withdraw(port), self.unmake(port));
        if !(withdrawn? && removed?) {
            return Ok(());
        }
        self.release_address(port).await?;
        self.store.remove_port(&port.key).await?;
        self.board.remove(&Key::Port(port.key.clone()), &port.version);
        if self.board.is_going(&port.node) {
            self.queue.wake(Key::Node(port.node.clone()));
        }
        Ok(())
    }

    /// Withdraws a port's announcement; answers false if that has to wait for the sco-provider.
    async fn withdraw(&self, port: &Port) -> Result<bool, ReconcileError> {
        if let Some(fault) = self.uplink.fault() {
            self.not_announced(port, unreachable(&fault));
            return Ok(false);
        }
        let learned = self.store.all_macs(&port.key).await?;
        let keys = learned.iter().map(|mac| learned_key(&self.cluster, &port.key, *mac));
        let own = endpoint_key(&self.cluster, &port.key);
        for key in keys.chain([own]) {
            self.exchange
                .delete_endpoint(key)
                .await
                .map_err(|status| self.not_announced(port, announcement_trouble(port, &status)))?;
        }
        for mac in learned {
            self.announce_anew(&port.key, mac).await?;
        }
        self.board.change_port(&port.key, |facts| facts.announcement = Fact::Unknown);
        Ok(true)
    }

    /// Gives a port's address back, if it was leased alone, so that a port in another cluster can
    /// have it. The port's row keeps ours from taking it until the lease is forgotten as well.
    async fn release_address(&self, port: &Port) -> Result<(), ReconcileError> {
        let Some(block) = self.store.single_block(&port.key).await? else { return Ok(()) };
        let network =
            NetworkKey { slice: port.key.slice.to_string(), name: port.key.network.to_string() };
        self.exchange
            .release_block(network, block)
            .await
            .map_err(|status| self.not_announced(port, announcement_trouble(port, &status)))
    }

    /// Has the node's agent remove a port; answers false if that has to wait for the agent. What is on a
    /// node that is given up stays there.
    async fn unmake(&self, port: &Port) -> Result<bool, ReconcileError> {
        if let Some(fault) = self.watches.fault(&port.node) {
            if port.node_forced {
                tracing::warn!(port = %port.key, fault, "port removed, its interface left behind");
                return Ok(true);
            }
            let message = format!("the sps-agent of node {} is unreachable: {fault}", port.node);
            self.not_made(port, Trouble::new(Reason::AgentUnreachable, message));
            return Ok(false);
        }
        let interface = port.interface_name.as_str();
        match self.agents.delete_port(&port.agent_endpoint, interface).await {
            Ok(()) => {}
            Err(status) if port.node_forced => {
                tracing::warn!(port = %port.key, %status, "port removed, its interface left behind");
            }
            Err(status) => return Err(self.not_made(port, node_trouble(&port.node, &status))),
        }
        self.board.change_port(&port.key, |facts| facts.agent = Fact::Unknown);
        Ok(true)
    }
}

fn unreachable(fault: &str) -> Trouble {
    Trouble::new(Reason::NotAnnounced, format!("the sco-provider is unreachable: {fault}"))
}

pub(super) fn port_spec(port: &Port) -> PortSpec {
    PortSpec {
        id: port_id(&port.key),
        vni: port.vni,
        switch: port.datapath_id,
        interface: port.interface_name.clone(),
        role: PortRole::Access { mac: port.mac, max_learned: port.max_learned },
    }
}

fn agent_port(port: &Port) -> AgentPort {
    let attachment = match &port.attachment {
        Attachment::Namespace { path, interface_name, .. } => {
            InAgent::Namespace(NamespaceAttachment {
                path: path.clone(),
                interface_name: interface_name.to_string(),
                mac: port.mac.to_string(),
                address: port.address.map(|address| address.to_string()).unwrap_or_default(),
                mtu: port.mtu.into(),
            })
        }
        Attachment::Interface { .. } => InAgent::Interface(InterfaceAttachment {}),
    };
    AgentPort {
        interface_name: port.interface_name.to_string(),
        attachment: Some(attachment),
        owner: port.key.to_string(),
    }
}

fn endpoint(cluster: &Name, port: &Port) -> Endpoint {
    Endpoint {
        key: Some(endpoint_key(cluster, &port.key)),
        mac: port.mac.to_string(),
        address: port.address.map(|address| address.addr().to_string()).unwrap_or_default(),
        alias: port.alias.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

pub(super) fn endpoint_key(cluster: &Name, key: &PortKey) -> EndpointKey {
    EndpointKey {
        slice: key.slice.to_string(),
        network: key.network.to_string(),
        cluster: cluster.to_string(),
        port: key.name.to_string(),
        learned_mac: String::new(),
    }
}
