//! Telling a network where an address is.

use std::{fs, io};

use super::{Namespace, NetlinkError};
use crate::{AgentError, NamespaceAttachment};

/// Has the kernel tell everybody on the network of an interface in a namespace that its addresses
/// are at its MAC address: it does so, if asked to, whenever the MAC address is set, be it to what it
/// is (Linux, `arp_notify` and `ndisc_notify`).
///
/// # Errors
/// There is no such namespace or interface, or the kernel refuses.
pub(crate) async fn announce(attachment: &NamespaceAttachment) -> Result<(), AgentError> {
    let interface = attachment.interface.to_string();
    let notify = move || {
        allow(&format!("/proc/sys/net/ipv4/conf/{interface}/arp_notify"))?;
        allow(&format!("/proc/sys/net/ipv6/conf/{interface}/ndisc_notify"))
    };
    let namespace = Namespace::open_and(&attachment.path, notify).await?;
    let name = attachment.interface.as_str();
    let link = namespace.links.find(name).await?;
    let link = link.ok_or_else(|| AgentError::NoInterface(name.to_owned()))?;
    Ok(namespace.links.put_mac(&link, attachment.mac).await?)
}

/// Switches a parameter on; one that is not there belongs to an interface or a protocol that is not.
fn allow(path: &str) -> Result<(), NetlinkError> {
    match fs::write(path, "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| NetlinkError::new(format!("write {path}"), error)),
    }
}
