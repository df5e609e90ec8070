//! Attaching and detaching ports.

use ipnet::IpNet;
use tracing::{debug, info};

use crate::{
    Agent, AgentError, Attachment, NamespaceAttachment, Port, PortState,
    netlink::Leftover,
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
        let ifindex = match &port.attachment {
            Attachment::Namespace(namespace) => {
                self.attach_namespace(port, namespace, existing.as_ref()).await?
            }
            Attachment::Interface => {
                let found = self.host.links.find(name).await?;
                found.ok_or_else(|| AgentError::NoInterface(name.to_owned()))?.index
            }
        };
        self.put_on_bridge(port, ifindex, existing.as_ref()).await?;
        self.port_state(name).ok_or_else(|| AgentError::NoBridge(self.identity.bridge.clone()))
    }

    /// Returns the number of the node's interface.
    async fn attach_namespace(
        &self,
        port: &Port,
        namespace: &NamespaceAttachment,
        existing: Option<&PortRow>,
    ) -> Result<u32, AgentError> {
        let name = port.interface.as_str();
        let wanted: Vec<_> = namespace.address.into_iter().collect();
        let Some(row) = existing else {
            return self.host.ensure(name, namespace, Leftover::Remake, &[]).await;
        };
        let noted = row.addresses();
        let unwanted: Vec<IpNet> =
            noted.iter().filter(|address| !wanted.contains(address)).copied().collect();
        if noted != wanted
            && let Some(ifindex) = row.ifindex()
        {
            // Noted before it is done, so that an agent killed in between still knows what to
            // remove. Addresses that others set are not touched.
            let mut all = unwanted.clone();
            all.extend(&wanted);
            self.note(port, ifindex, &all).await?;
        }
        self.host.ensure(name, namespace, Leftover::Keep, &unwanted).await
    }

    async fn put_on_bridge(
        &self,
        port: &Port,
        ifindex: u32,
        existing: Option<&PortRow>,
    ) -> Result<(), AgentError> {
        let name = port.interface.as_str();
        let addresses = port.addresses();
        match existing.map(PortRow::ifindex) {
            Some(noted) if noted == Some(ifindex) => {
                self.note(port, ifindex, &addresses).await?;
                return self.settle().await;
            }
            Some(_) => {
                // The interface was made again under its name. Open vSwitch does not notice, and
                // would go on to listen to the one that is gone: it has to let go of the name
                // before it gets it again.
                info!(port = name, owner = port.owner, "adding a renewed interface again");
                let removal =
                    self.read(|tables| plan::remove_port(tables, &self.identity, name))?;
                self.carry_out(&removal).await?;
            }
            None => debug!(port = name, owner = port.owner, "adding a port"),
        }
        let operations =
            self.read(|tables| plan::add_port(tables, &self.identity, port, ifindex, &addresses))?;
        self.carry_out(&operations).await
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
