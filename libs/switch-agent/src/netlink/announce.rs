//! Telling a network where an address is.

use std::{fs, io, path::Path};

use super::{Host, Namespace, NetlinkError};
use crate::{AgentError, NamespaceAttachment};

impl Host {
    /// Has the kernel tell everybody on the network of an interface in a namespace that its
    /// addresses are at its MAC address: it does so, if asked to, whenever the MAC address is set, be
    /// it to what it is (Linux, `arp_notify` and `ndisc_notify`).
    ///
    /// # Errors
    /// There is no such namespace or interface, or the kernel refuses.
    pub(crate) async fn announce(
        &self,
        attachment: &NamespaceAttachment,
    ) -> Result<(), AgentError> {
        let name = attachment.interface.as_str();
        let parameters = [
            self.parameters.join(format!("ipv4/conf/{name}/arp_notify")),
            self.parameters.join(format!("ipv6/conf/{name}/ndisc_notify")),
        ];
        let notify = move || parameters.iter().try_for_each(|path| switch_on(path));
        let namespace = Namespace::open_and(&attachment.path, notify).await?;
        let link = namespace.links.find(name).await?;
        let link = link.ok_or_else(|| AgentError::NoInterface(name.to_owned()))?;
        Ok(namespace.links.put_mac(&link, attachment.mac).await?)
    }
}

/// Switches a parameter on; one that is not there belongs to an interface or a protocol that is not.
fn switch_on(path: &Path) -> Result<(), NetlinkError> {
    match fs::write(path, "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => {
            result.map_err(|error| NetlinkError::new(format!("write {}", path.display()), error))
        }
    }
}
