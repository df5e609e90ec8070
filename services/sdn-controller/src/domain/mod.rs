//! What the controller keeps: nodes, slices, networks and ports of one cluster. No I/O.

mod addresses;
mod state;

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use l2sces_measurement::Policy;
use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};
use l2sces_trace::TraceContext;
use thiserror::Error;

pub(crate) use addresses::{AddressError, check_address, reserved_addresses};
pub(crate) use state::{Addresses, Assignment, Change, Condition, ObjectState, Reason, Trouble};

/// Version of an object's desired state, given by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) uid: String,
    pub(crate) generation: i64,
}

impl Version {
    /// Whether a description of this version is out of date beside a stored one. Another uid is
    /// another life of the object, and there is no telling which life is the older: the one that
    /// is applied now counts.
    pub(crate) fn is_older_than(&self, stored: &Self) -> bool {
        self.uid == stored.uid && self.generation < stored.generation
    }
}

/// Names a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NetworkKey {
    pub(crate) slice: Name,
    pub(crate) name: Name,
}

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slice, self.name)
    }
}

/// Names a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PortKey {
    pub(crate) slice: Name,
    pub(crate) network: Name,
    pub(crate) name: Name,
}

impl PortKey {
    /// The port's network.
    pub(crate) fn network_key(&self) -> NetworkKey {
        NetworkKey { slice: self.slice.clone(), name: self.network.clone() }
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.slice, self.network, self.name)
    }
}

/// A text that names no port.
#[derive(Debug, Error)]
#[error("is not '<slice>/<network>/<port>'")]
pub(crate) struct PortKeyError;

impl FromStr for PortKey {
    type Err = PortKeyError;

    fn from_str(text: &str) -> Result<Self, PortKeyError> {
        let mut parts = text.split('/').map(Name::from_str);
        let (Some(Ok(slice)), Some(Ok(network)), Some(Ok(name)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PortKeyError);
        };
        Ok(Self { slice, network, name })
    }
}

/// Names an object: what workers are woken for, and what a state speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Node(Name),
    Slice(Name),
    Network(NetworkKey),
    Port(PortKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node {name}"),
            Self::Slice(name) => write!(f, "slice {name}"),
            Self::Network(key) => write!(f, "network {key}"),
            Self::Port(key) => write!(f, "port {key}"),
        }
    }
}

/// A node as its owner describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSpec {
    pub(crate) name: Name,
    pub(crate) version: Version,
    pub(crate) underlay_address: IpAddr,
    pub(crate) agent_endpoint: String,
    pub(crate) gateway: bool,
}

/// A node as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) spec: NodeSpec,
    /// Names its switch in group numbers; from 1, unique, for life.
    pub(crate) ordinal: u16,
    pub(crate) datapath_id: DatapathId,
    pub(crate) deleting: bool,
    /// Its deletion waits for nothing.
    pub(crate) forced: bool,
    /// It was a gateway, and networks may still use its trunk.
    pub(crate) former_gateway: bool,
    /// The span in which it was applied, or its deletion asked for, last.
    pub(crate) origin: Option<TraceContext>,
}

/// A link between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    /// The end with the lesser name.
    pub(crate) a: Name,
    /// The other end.
    pub(crate) b: Name,
    /// What it costs to use, at least 1.
    pub(crate) cost: u16,
}

/// What a link costs unless something else is said.
pub(crate) const DEFAULT_COST: u16 = 1;

/// The wanted links of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Every node with every other, at the default cost.
    FullMesh,
    /// These, sorted; no two with the same ends.
    Listed(Vec<Link>),
}

/// A slice as its owner describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceSpec {
    pub(crate) name: Name,
    pub(crate) version: Version,
    /// Sorted, without duplicates.
    pub(crate) nodes: Vec<Name>,
    pub(crate) links: Links,
    /// Those of its nodes that carry the frames of others only where there is no other way.
    pub(crate) avoid_transit: BTreeSet<Name>,
    /// What is measured of its links.
    pub(crate) measurement: Option<Policy>,
}

/// A slice as it is stored. Nodes that are being deleted are no longer among its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) spec: SliceSpec,
    /// Names it in group numbers; from 1, unique, for life.
    pub(crate) ordinal: u16,
    /// Counts the changes of its nodes and links.
    pub(crate) topology: i64,
    pub(crate) deleting: bool,
    /// The span in which it was applied, or its deletion asked for, last.
    pub(crate) origin: Option<TraceContext>,
}

impl Slice {
    /// The wanted links, one by one.
    pub(crate) fn links(&self) -> Vec<Link> {
        let nodes = &self.spec.nodes;
        let link = |a: &Name, b: &Name| Link { a: a.clone(), b: b.clone(), cost: DEFAULT_COST };
        match &self.spec.links {
            Links::FullMesh => nodes
                .iter()
                .enumerate()
                .flat_map(|(i, a)| nodes.iter().skip(i + 1).map(move |b| link(a, b)))
                .collect(),
            Links::Listed(links) => links.clone(),
        }
    }
}

/// A network, as its owner describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkSpec {
    pub(crate) key: NetworkKey,
    pub(crate) version: Version,
    pub(crate) vni: Vni,
    /// Its addresses, without host bits.
    pub(crate) cidr: Option<IpNet>,
    /// Bytes.
    pub(crate) mtu: u16,
}

/// A network as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) spec: NetworkSpec,
    pub(crate) deleting: bool,
    /// The span in which it was applied, or its deletion asked for, last.
    pub(crate) origin: Option<TraceContext>,
}

/// What a port connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// A network namespace on the node, by a pair of interfaces that the agent makes.
    Namespace {
        path: String,
        interface_name: InterfaceName,
        /// What it was attached for; empty: nothing in particular.
        id: String,
    },
    /// An interface that exists on the node.
    Interface { name: InterfaceName },
}

/// A port as its owner describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortSpec {
    pub(crate) key: PortKey,
    pub(crate) version: Version,
    pub(crate) node: Name,
    pub(crate) attachment: Attachment,
    /// None: one is chosen.
    pub(crate) mac: Option<MacAddress>,
    /// None: one is chosen if the network has a CIDR.
    pub(crate) address: Option<IpAddr>,
    /// Length of the address's prefix; counts in a network without a CIDR, where each port chooses.
    pub(crate) prefix_len: Option<u8>,
    /// Another name of it in the DNS, which others may have, too.
    pub(crate) alias: Option<Name>,
    /// How many other MAC addresses may be learned behind it.
    pub(crate) max_learned: u16,
}

impl PortSpec {
    /// Name of the interface on the node's switch.
    pub(crate) fn interface_name(&self) -> InterfaceName {
        match &self.attachment {
            Attachment::Namespace { .. } => InterfaceName::for_port(
                self.key.slice.as_str(),
                self.key.network.as_str(),
                self.key.name.as_str(),
            ),
            Attachment::Interface { name } => name.clone(),
        }
    }
}

/// A port as it is stored, with what its network and its node add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) key: PortKey,
    pub(crate) version: Version,
    pub(crate) node: Name,
    pub(crate) attachment: Attachment,
    pub(crate) interface_name: InterfaceName,
    pub(crate) mac: MacAddress,
    /// With the prefix length of the network.
    pub(crate) address: Option<IpNet>,
    /// The port has chosen how long the address's prefix is, as the network has no CIDR.
    pub(crate) chose_prefix: bool,
    /// Another name of it in the DNS, which others may have, too.
    pub(crate) alias: Option<Name>,
    /// How many other MAC addresses may be learned behind it.
    pub(crate) max_learned: u16,
    pub(crate) deleting: bool,
    /// It has told its network where its address is.
    pub(crate) introduced: bool,
    /// The span in which it was applied, or its deletion asked for, last.
    pub(crate) origin: Option<TraceContext>,
    pub(crate) vni: Vni,
    /// Bytes.
    pub(crate) mtu: u16,
    pub(crate) datapath_id: DatapathId,
    pub(crate) agent_endpoint: String,
    /// The deletion of its node waits for nothing: see [`Node::forced`].
    pub(crate) node_forced: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lower_generation_of_the_same_uid_is_older() {
        let version = |uid: &str, generation| Version { uid: uid.to_owned(), generation };
        assert!(version("u", 1).is_older_than(&version("u", 2)));
        assert!(!version("u", 2).is_older_than(&version("u", 2)));
        assert!(!version("u", 3).is_older_than(&version("u", 2)));
        assert!(!version("v", 1).is_older_than(&version("u", 2)));
    }

    #[test]
    fn a_port_key_is_read_as_it_is_written() {
        let key: PortKey = "s1/blue/web".parse().unwrap();
        assert_eq!(key.to_string(), "s1/blue/web");
        for text in ["", "s1", "s1/blue", "s1/blue/web/x", "s1//web", "S/b/w"] {
            assert!(text.parse::<PortKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_full_mesh_links_every_two_nodes_once() {
        let names: Vec<Name> = ["a", "b", "c"].iter().map(|n| n.parse().unwrap()).collect();
        let slice = Slice {
            spec: SliceSpec {
                name: "s".parse().unwrap(),
                version: Version { uid: "u".into(), generation: 1 },
                nodes: names.clone(),
                links: Links::FullMesh,
                avoid_transit: BTreeSet::new(),
                measurement: None,
            },
            ordinal: 1,
            topology: 1,
            deleting: false,
            origin: None,
        };
        let [a, b, c] = &names[..] else { unreachable!() };
        let link = |a: &Name, b: &Name| Link { a: a.clone(), b: b.clone(), cost: 1 };
        assert_eq!(slice.links(), [link(a, b), link(a, c), link(b, c)]);
    }
}
