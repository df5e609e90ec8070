use std::net::IpAddr;

use l2sces_model::{InterfaceName, MacAddress, Name};
use serde::{Deserialize, Serialize};

use super::{Condition, Kind, Resource};

/// An endpoint of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port;

impl Resource for Port {
    const KIND: Kind = Kind::Port;
    type Spec = PortSpec;
    type Detail = PortDetail;
}

/// What is wanted of a port. It never changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortSpec {
    /// Name of its cluster.
    pub cluster: Name,
    /// Name of its node.
    pub node: Name,
    /// What is attached.
    pub attachment: Attachment,
    /// Its MAC address; none: one is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Its IP address; none: one is chosen if the network has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// How many other MAC addresses may be learned behind it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_learned: u16,
}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// What is attached to a port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// A virtual Ethernet pair into a network namespace.
    Namespace {
        /// Path of the namespace on the node.
        path: String,
        /// Name of the interface in the namespace.
        interface_name: InterfaceName,
    },
    /// An interface that exists on the node.
    Interface {
        /// Its name.
        name: InterfaceName,
    },
}

/// What is known of a port beside its condition.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PortDetail {
    /// MAC address; empty until known.
    pub mac: String,
    /// IP address with prefix length; empty: none.
    pub address: String,
    /// Name of the interface on the node's switch; empty until known.
    pub interface_name: String,
    /// The MAC addresses that have been learned behind it.
    #[serde(default)]
    pub learned_macs: Vec<String>,
    /// The "AddressConflict" condition; none: there has never been a conflict.
    #[serde(default)]
    pub conflict: Option<Condition>,
}
