use std::path::Path;

use crate::{
    AgentError, NamespaceAttachment,
    netlink::{Link, Namespace},
};

/// Whether there is an interface of this name in a network namespace.
///
/// # Errors
/// There is no such namespace, or the kernel refuses.
pub async fn has_interface(namespace: &Path, name: &str) -> Result<bool, AgentError> {
    Ok(Namespace::open(namespace).await?.links.find(name).await?.is_some())
}

/// Says how the interface in a network namespace differs from how it was made; `None`: it is as it was
/// made.
///
/// # Errors
/// There is no such namespace, or the kernel refuses.
pub async fn inspect(wanted: &NamespaceAttachment) -> Result<Option<String>, AgentError> {
    let links = Namespace::open(&wanted.path).await?.links;
    let name = wanted.interface.as_str();
    let Some(link) = links.find(name).await? else {
        return Ok(Some(format!("interface {name} is gone")));
    };
    if let Some(difference) = difference(&link, wanted) {
        return Ok(Some(format!("interface {name} {difference}")));
    }
    match wanted.address {
        Some(address) if !links.addresses(&link).await?.contains(&address) => {
            Ok(Some(format!("interface {name} does not have address {address}")))
        }
        _ => Ok(None),
    }
}

/// A clause about an interface that is not as wanted.
fn difference(link: &Link, wanted: &NamespaceAttachment) -> Option<String> {
    if !link.is_veth {
        return Some("is none of ours".to_owned());
    }
    if link.mac != wanted.mac.bytes() {
        return Some(format!("has another MAC address than {}", wanted.mac));
    }
    if link.mtu != wanted.mtu {
        return Some(format!("has MTU {}, not {}", link.mtu, wanted.mtu));
    }
    (!link.is_up).then(|| "is down".to_owned())
}
