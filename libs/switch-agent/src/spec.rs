//! What can be wanted of a bridge and a port: valid by construction.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;
use l2sces_model::{DatapathId, InterfaceName, MacAddress};

/// What is wanted of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// OpenFlow datapath id.
    pub datapath_id: DatapathId,
    /// OpenFlow controllers; at least one.
    pub controllers: Vec<ControllerTarget>,
    /// All tunnels.
    pub links: Vec<Link>,
    /// The patch port towards the node's other bridge.
    pub trunk: Option<Trunk>,
}

/// An OpenFlow controller in Open vSwitch's notation: `tcp:` or `ssl:`, an IP address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControllerTarget {
    /// Without protection.
    Tcp(SocketAddr),
    /// TLS with certificates on both ends.
    Ssl(SocketAddr),
}

/// A text that is no [`ControllerTarget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 'ssl:' or 'tcp:', an IP address and a port, such as ssl:10.0.0.5:6653")]
pub struct ControllerTargetError;

/// A Geneve tunnel whose network identifier and options are set by flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its interface.
    pub interface: InterfaceName,
    /// Underlay address of the far end.
    pub remote: IpAddr,
    /// Underlay address of this end.
    pub local: IpAddr,
    /// Destination UDP port, not 0.
    pub udp_port: u16,
    /// How often each end says that it is there (BFD), in milliseconds; `None`: never.
    pub bfd_interval_ms: Option<NonZeroU32>,
}

/// One end of the pair of patch ports between the bridges of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// This end.
    pub interface: InterfaceName,
    /// The other bridge's end.
    pub peer: InterfaceName,
}

/// What is wanted of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its interface on the bridge.
    pub interface: InterfaceName,
    /// What is attached.
    pub attachment: Attachment,
    /// Who it is for, `<slice>/<network>/<port>`.
    pub owner: String,
}

/// What is attached to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// The far end of a virtual Ethernet pair, in a network namespace.
    Namespace(NamespaceAttachment),
    /// The interface itself, which exists already.
    Interface,
}

/// How the far end of a virtual Ethernet pair looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceAttachment {
    /// The network namespace.
    pub path: PathBuf,
    /// Name of the interface in it.
    pub interface: InterfaceName,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Its IP address.
    pub address: Option<IpNet>,
    /// MTU of both ends, in bytes.
    pub mtu: u32,
}

impl FromStr for ControllerTarget {
    type Err = ControllerTargetError;

    fn from_str(text: &str) -> Result<Self, ControllerTargetError> {
        let (protocol, socket) = text.split_once(':').ok_or(ControllerTargetError)?;
        let socket: SocketAddr = socket.parse().map_err(|_| ControllerTargetError)?;
        if socket.port() == 0 || socket.ip().is_unspecified() {
            return Err(ControllerTargetError);
        }
        match protocol {
            "tcp" => Ok(Self::Tcp(socket)),
            "ssl" => Ok(Self::Ssl(socket)),
            _ => Err(ControllerTargetError),
        }
    }
}

impl fmt::Display for ControllerTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(socket) => write!(f, "tcp:{socket}"),
            Self::Ssl(socket) => write!(f, "ssl:{socket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_open_vswitch_writes_them() {
        for text in ["tcp:10.0.0.5:6653", "ssl:[fd00::5]:6653"] {
            assert_eq!(text.parse::<ControllerTarget>().map(|t| t.to_string()), Ok(text.into()));
        }
        for text in
            ["", "10.0.0.5:6653", "ptcp:6653", "tcp:10.0.0.5", "tcp:10.0.0.5:0", "tcp:0.0.0.0:1"]
        {
            assert_eq!(text.parse::<ControllerTarget>(), Err(ControllerTargetError), "{text:?}");
        }
    }
}
