use std::net::IpAddr;

use l2sces_model::{InterfaceName, MacAddress, Name, Vni};
use thiserror::Error;

use crate::domain::{AddressError, NetworkKey, PortKey};

/// Why the store refuses a change, or cannot carry it out.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// There is no such node, or it is being deleted.
    #[error("node {0} is unknown")]
    UnknownNode(Name),
    /// There is no such slice, or it is being deleted.
    #[error("slice {0} is unknown")]
    UnknownSlice(Name),
    /// There is no such network, or it is being deleted.
    #[error("network {0} is unknown")]
    UnknownNetwork(NetworkKey),
    /// A port's node is none of its slice's.
    #[error("node {node} is not one of slice {slice}'s nodes")]
    NodeNotInSlice { node: Name, slice: Name },
    /// A slice cannot leave a node that has a port of its networks.
    #[error("node {node} has port {port}: remove it first")]
    NodeNeeded { node: Name, port: PortKey },
    /// What is stored under the name must be gone before something new can have it.
    #[error("{kind} {name} is being deleted")]
    BeingDeleted { kind: &'static str, name: String },
    /// Something depends on what shall be deleted or changed.
    #[error("{kind} {name} still has {what}")]
    InUse { kind: &'static str, name: String, what: &'static str },
    /// A network keeps its identifier for life.
    #[error("network {network} has VNI {} for life", .vni.get())]
    VniFixed { network: NetworkKey, vni: Vni },
    /// Another network has the identifier.
    #[error("VNI {} belongs to another network", .0.get())]
    VniTaken(Vni),
    /// The address cannot be a port's.
    #[error("address {address} {error}")]
    BadAddress { address: IpAddr, error: AddressError },
    /// Another port of the network has the address.
    #[error("address {0} belongs to another port")]
    AddressTaken(IpAddr),
    /// Another port of the network has the MAC address.
    #[error("MAC address {0} belongs to another port")]
    MacTaken(MacAddress),
    /// Another port has the interface.
    #[error("interface {interface} of node {node} belongs to another port")]
    InterfaceTaken { node: Name, interface: InterfaceName },
    /// Two nodes' names lead to one datapath id.
    #[error("node {0}'s datapath id belongs to another node: give it another name")]
    DatapathIdTaken(Name),
    /// Every number for a kind of object is in use.
    #[error("no more {0} can be stored")]
    Exhausted(&'static str),
    /// Every attempt met a change by somebody else.
    #[error("too many changes of network {0} at once")]
    Contended(NetworkKey),
    /// Postgres fails.
    #[error("the database fails: {0}")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// Name of the constraint that a statement would have broken.
    pub(super) fn broken_constraint(error: &sqlx::Error) -> Option<&str> {
        error.as_database_error().and_then(sqlx::error::DatabaseError::constraint)
    }
}
