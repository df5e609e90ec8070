//! How objects fare.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ipnet::IpNet;
use l2sces_model::{InterfaceName, MacAddress};

use super::{Key, Version};

/// Why an object is not as wanted, as one word that programs can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its deletion was asked for and is not complete.
    Deleting,
    /// Nothing is known of it yet.
    Pending,
    /// The node's sps-agent does not answer.
    AgentUnreachable,
    /// The node's sps-agent refuses.
    AgentRefused,
    /// There is no such network namespace on the node.
    NoSuchNamespace,
    /// There is no such interface on the node.
    NoSuchInterface,
    /// The node's switch is not connected to the controller.
    SwitchNotConnected,
    /// The switch has not confirmed the flows.
    WaitingForSwitch,
    /// A tunnel does not work.
    TunnelFailed,
    /// A link does not lead to where it is meant to end.
    LinkDown,
    /// Another endpoint of the network, in another cluster, has the MAC address.
    MacConflict,
    /// The other clusters do not know of it yet.
    NotAnnounced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names of the variants are the words.
        fmt::Debug::fmt(self, f)
    }
}

/// Why an object is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    /// One sentence.
    pub(crate) message: String,
}

impl Trouble {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Whether an object is as wanted, or why not.
pub(crate) type Condition = Result<(), Trouble>;

/// What a port has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) mac: MacAddress,
    /// With the prefix length of the network.
    pub(crate) address: Option<IpNet>,
    pub(crate) interface_name: InterfaceName,
    pub(crate) addresses: Addresses,
    /// Bytes.
    pub(crate) mtu: u16,
}

/// What is behind a port beside its own MAC address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The addresses that were learned there.
    pub(crate) learned: BTreeSet<MacAddress>,
    /// Addresses that it sends from and that are elsewhere, and where: a sentence each.
    pub(crate) conflicts: BTreeMap<MacAddress, String>,
}

/// How an object fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectState {
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) condition: Condition,
    /// Of a port.
    pub(crate) assignment: Option<Assignment>,
}

/// A change that watchers are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put(ObjectState),
    Deleted { key: Key, version: Version },
}
