//! Attaching and detaching ports.

use ipnet::IpNet;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::{
    Agent, AgentError, Attachment, NamespaceAttachment, Port, PortState,
    netlink::Namespace,
    plan::{self, PortRow},
};

impl Agent {
    /// Makes a port as described, or changes what differs. Returns when Open vSwitch has carried it
    /// out.
    ///
    /// # Errors
    /// There is no bridge; the namespace or interface does not exist, or is somebody else's; the
    /// database or the kernel failed.
    pub async fn apply_port(&self, port: &Port) -> Result<PortState, AgentError> {
        let name = port.interface.as_str();
        let _bridge = self.bridge.read().await;
        let _port = self.ports.lock(name).await;
        match self.apply_port_once(port).await {
            Err(error) if error.is_conflict() => {
                // Decided anew, on what is in the database now: the name may be somebody else's,
                // and then nothing must be left behind.
                self.host.remove(name).await?;
                self.apply_port_once(port).await
            }
            result => result,
        }
    }

    async fn apply_port_once(&self, port: &Port) -> Result<PortState, AgentError> {
        let name = port.interface.as_str();
        self.check_connected()?;
        if port.attachment == Attachment::Interface
            && let Some(state) = self.find_on_bridge(name).await?
        {
            return Ok(state);
        }
        let existing = self.read(|tables| {
            self.identity.bridge(tables)?;
            plan::find_port(tables, &self.identity, name)
        })?;
        if existing.as_ref().is_some_and(|row| !row.is_attached_as(&port.attachment)) {
            return Err(AgentError::ForeignInterface {
                name: name.to_owned(),
                reason: "is attached in another way: delete the port first",
            });
        }
        match &port.attachment {
            Attachment::Namespace(namespace) => {
                self.attach_namespace(port, namespace, existing).await?;
            }
            Attachment::Interface => self.attach_interface(port, existing).await?,
        }
        self.port_state(name).ok_or_else(|| AgentError::NoBridge(self.identity.bridge.clone()))
    }

    async fn attach_namespace(
        &self,
        port: &Port,
        wanted: &NamespaceAttachment,
        existing: Option<PortRow>,
    ) -> Result<(), AgentError> {
        let name = port.interface.as_str();
        let namespace = Namespace::open(&wanted.path).await?;
        if let Some(row) = &existing {
            let pair = self.host.find_pair(name, wanted, &namespace).await?;
            if let Some(pair) = pair.filter(|pair| row.ifindex() == Some(pair.host.index)) {
                let forget = self.note_addresses(port, row, pair.host.index).await?;
                self.host.configure(&pair, wanted, &namespace, &forget).await?;
                self.note(port, pair.host.index, &port.addresses()).await?;
                return self.wait_until_carried_out(name).await;
            }
            // Before the new pair is there: seeing another interface under the name of one it
            // knows, Open vSwitch writes the old one's flags to it, and so sets it down.
            self.take_off(port).await?;
        }
        let pair = self.host.remake_pair(name, wanted, &namespace).await?;
        self.host.configure(&pair, wanted, &namespace, &[]).await?;
        self.put_on(port, pair.host.index).await?;
        self.wait_until_seen_up(name).await;
        Ok(())
    }

    async fn attach_interface(
        &self,
        port: &Port,
        existing: Option<PortRow>,
    ) -> Result<(), AgentError> {
        let name = port.interface.as_str();
        let found = self.host.links.find(name).await?;
        let index = found.ok_or_else(|| AgentError::NoInterface(name.to_owned()))?.index;
        match existing {
            Some(row) if row.ifindex() == Some(index) => {
                self.note(port, index, &[]).await?;
                self.wait_until_carried_out(name).await
            }
            existing => {
                if existing.is_some() {
                    self.take_off(port).await?;
                }
                self.put_on(port, index).await
            }
        }
    }

    /// The port of this name, if it is on the bridge and no agent has made it: a hypervisor, say,
    /// that adds its interfaces itself. It is used as it is, and stays when it is deleted.
    async fn find_on_bridge(&self, name: &str) -> Result<Option<PortState>, AgentError> {
        let found = self.read(|tables| plan::find_foreign_port(tables, &self.identity, name))?;
        let Some(port) = found else { return Ok(None) };
        // The replica has no list of the bridge's ports: that is sent whole with every change.
        let outcomes = self.client.transact(&[port.search]).await?;
        let is_there =
            matches!(&outcomes[..], [l2sces_ovsdb::Outcome::Rows(rows)] if !rows.is_empty());
        Ok(is_there.then_some(port.state))
    }

    /// Takes a port off the bridge whose interface was made again under its name. Open vSwitch does
    /// not notice that, and would go on to listen to the one that is gone: it has to let go of the
    /// name before it gets it again.
    async fn take_off(&self, port: &Port) -> Result<(), AgentError> {
        let name = port.interface.as_str();
        info!(port = name, owner = port.owner, "adding a renewed interface again");
        let removal = self.read(|tables| plan::remove_port(tables, &self.identity, name))?;
        self.carry_out(&removal).await
    }

    async fn put_on(&self, port: &Port, ifindex: u32) -> Result<(), AgentError> {
        debug!(port = port.interface.as_str(), owner = port.owner, "adding a port");
        let operations = self.read(|tables| {
            plan::add_port(tables, &self.identity, port, ifindex, &port.addresses())
        })?;
        self.carry_out(&operations).await
    }

    /// Notes the addresses that are about to be set. Returns those to be removed.
    ///
    /// Noted before it is done, so that an agent killed in between still knows what to remove.
    /// Addresses that others set are not touched.
    async fn note_addresses(
        &self,
        port: &Port,
        row: &PortRow,
        ifindex: u32,
    ) -> Result<Vec<IpNet>, AgentError> {
        let wanted = port.addresses();
        let mut all = row.addresses();
        let unwanted = all.iter().filter(|address| !wanted.contains(address)).copied().collect();
        if all != wanted {
            all.extend(wanted.iter().filter(|address| !row.addresses().contains(address)));
            self.note(port, ifindex, &all).await?;
        }
        Ok(unwanted)
    }

    /// Waits for the port of a row that was there already: whoever wrote it may not have waited.
    /// A port that works has been carried out, whatever else Open vSwitch is busy with.
    async fn wait_until_carried_out(&self, name: &str) -> Result<(), AgentError> {
        if self.port_state(name).is_some_and(|state| state.error.is_none()) {
            return Ok(());
        }
        self.settle().await?;
        self.wait_until_seen_up(name).await;
        Ok(())
    }

    /// Both ends of a pair are up by now, but Open vSwitch may learn of it a moment later. When it
    /// does not, the port's state says so.
    async fn wait_until_seen_up(&self, name: &str) {
        let seen = self.client.replica().wait_for(|tables| {
            let (_, row) = tables.find("Interface", name)?;
            (row.string("link_state") != Some("down")).then_some(())
        });
        if timeout(self.link_patience, seen).await.is_err() {
            debug!(port = name, "Open vSwitch sees the interface down");
        }
    }

    /// Writes down what is known of a port, if that has changed.
    async fn note(&self, port: &Port, ifindex: u32, addresses: &[IpNet]) -> Result<(), AgentError> {
        let operations =
            self.read(|tables| plan::update_port(tables, &self.identity, port, ifindex, addresses));
        if !operations.is_empty() {
            self.client.transact(&operations).await?;
        }
        Ok(())
    }

    /// Has a port tell everybody on its network where its address is. Nothing happens for one without
    /// a namespace or an address.
    ///
    /// # Errors
    /// There is no such namespace or interface, or the kernel refuses.
    pub async fn announce_port(&self, port: &Port) -> Result<(), AgentError> {
        match &port.attachment {
            Attachment::Namespace(namespace) if namespace.address.is_some() => {
                self.host.announce(namespace).await
            }
            Attachment::Namespace(_) | Attachment::Interface => Ok(()),
        }
    }

    /// Removes a port, and the pair that was made for it. Succeeds if there is none, or if the
    /// interface is part of Open vSwitch but not as this agent's port.
    ///
    /// # Errors
    /// The database or the kernel failed.
    pub async fn delete_port(&self, name: &str) -> Result<(), AgentError> {
        let _bridge = self.bridge.read().await;
        let _port = self.ports.lock(name).await;
        self.check_connected()?;
        let found = self.read(|tables| {
            let row = plan::find_port(tables, &self.identity, name)?;
            Ok::<_, AgentError>((row, plan::remove_port(tables, &self.identity, name)))
        });
        match found {
            Ok((Some(row), removal)) => {
                info!(port = name, "removing a port");
                self.carry_out(&removal?).await?;
                if row.has_veth() { Ok(self.host.remove(name).await?) } else { Ok(()) }
            }
            // A pair whose port was removed, or not added yet, when the agent was killed.
            Ok((None, _)) => Ok(self.host.remove(name).await?),
            Err(AgentError::ForeignInterface { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Port {
    fn addresses(&self) -> Vec<IpNet> {
        match &self.attachment {
            Attachment::Namespace(namespace) => namespace.address.into_iter().collect(),
            Attachment::Interface => Vec::new(),
        }
    }
}
