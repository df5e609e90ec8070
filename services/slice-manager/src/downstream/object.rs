use std::{fmt, str::FromStr};

use l2sces_model::Name;
use uuid::Uuid;

use crate::domain::Key;

/// A service that carries out what is desired. Its text is stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// The sco-provider.
    Sco,
    /// The sdn-controller of a cluster.
    Cluster(Name),
}

/// Which object of a service. Its text is stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectKey {
    /// A node, in its cluster's controller.
    Node(Name),
    /// A gateway, in the sco-provider.
    Gateway {
        /// Its cluster.
        cluster: Name,
        /// Its node.
        node: Name,
    },
    /// A slice.
    Slice(Name),
    /// A network.
    Network {
        /// Its slice.
        slice: Name,
        /// Its own name.
        name: Name,
    },
    /// A port, in its cluster's controller.
    Port {
        /// Its slice.
        slice: Name,
        /// Its network.
        network: Name,
        /// Its own name.
        name: Name,
    },
}

/// Version of an object: services ignore one that is older than what they have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// The uid of the resource that it is made of.
    pub uid: Uuid,
    /// Grows whenever the object changes.
    pub generation: i64,
}

/// How an object fares, as its service says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectState {
    /// Uid of the version that this speaks of.
    pub uid: String,
    /// Generation of the version that this speaks of.
    pub generation: i64,
    /// Whether it is as wanted.
    pub ready: bool,
    /// Why not, as one CamelCase word.
    pub reason: String,
    /// Why not, as one sentence.
    pub message: String,
    /// What it has been given, and is seen of it.
    pub given: Given,
}

/// What a service gives an object, and sees of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Given {
    /// Nothing, or nothing yet.
    Nothing,
    /// The identity of a network.
    Network {
        /// Virtual network identifier.
        vni: u32,
        /// MTU of its ports, in bytes.
        mtu: u32,
    },
    /// The addresses and interface of a port.
    Port {
        /// MAC address.
        mac: String,
        /// IP address with prefix length; empty: none.
        address: String,
        /// Name of the interface on the node's switch.
        interface_name: String,
        /// The MAC addresses that have been learned behind it.
        learned_macs: Vec<String>,
        /// What is said of MAC addresses that it sends from and that are elsewhere: a sentence each.
        conflicts: Vec<String>,
    },
    /// The pods that a network has in a cluster of Kubernetes.
    Pods {
        /// How many are attached.
        attached: u32,
    },
}

impl ObjectState {
    /// Whether it speaks of this version, or of a newer one of the same resource.
    pub fn covers(&self, version: &Version) -> bool {
        self.uid == version.uid.to_string() && self.generation >= version.generation
    }

    /// Whether it speaks of exactly what the other speaks of.
    pub fn same_version(&self, other: &Self) -> bool {
        self.uid == other.uid && self.generation == other.generation
    }
}

impl ObjectKey {
    /// The resource that the object is made of.
    pub fn owner(&self, target: &Target) -> Option<Key> {
        match (self, target) {
            (Self::Node(_), Target::Cluster(cluster)) => Some(Key::Cluster(cluster.clone())),
            (Self::Node(_), Target::Sco) => None,
            (Self::Gateway { cluster, .. }, _) => Some(Key::Cluster(cluster.clone())),
            (Self::Slice(name), _) => Some(Key::Slice(name.clone())),
            (Self::Network { slice, name }, _) => {
                Some(Key::Network { slice: slice.clone(), name: name.clone() })
            }
            (Self::Port { slice, network, name }, _) => Some(Key::Port {
                slice: slice.clone(),
                network: network.clone(),
                name: name.clone(),
            }),
        }
    }

    /// The object for people, such as "node n1".
    pub fn describe(&self) -> String {
        match self {
            Self::Node(name) => format!("node {name}"),
            Self::Gateway { cluster, node } => format!("gateway {cluster}/{node}"),
            Self::Slice(name) => format!("slice {name}"),
            Self::Network { slice, name } => format!("network {slice}/{name}"),
            Self::Port { slice, network, name } => format!("port {slice}/{network}/{name}"),
        }
    }
}

impl Target {
    /// The service for people, such as "the sdn-controller of cluster b".
    pub fn service(&self) -> String {
        match self {
            Self::Sco => "the sco-provider".to_owned(),
            Self::Cluster(name) => format!("the sdn-controller of cluster {name}"),
        }
    }

    /// What the service looks after, for people, such as "cluster b".
    pub fn describe(&self) -> String {
        match self {
            Self::Sco => "between clusters".to_owned(),
            Self::Cluster(name) => format!("cluster {name}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sco => f.write_str("sco"),
            Self::Cluster(name) => write!(f, "cluster/{name}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("no such service: '{text}'");
        if text == "sco" {
            return Ok(Self::Sco);
        }
        let name = text.strip_prefix("cluster/").ok_or_else(unknown)?;
        Ok(Self::Cluster(name.parse().map_err(|_| unknown())?))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Gateway { cluster, node } => write!(f, "gateway/{cluster}/{node}"),
            Self::Slice(name) => write!(f, "slice/{name}"),
            Self::Network { slice, name } => write!(f, "network/{slice}/{name}"),
            Self::Port { slice, network, name } => write!(f, "port/{slice}/{network}/{name}"),
        }
    }
}

impl FromStr for ObjectKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let name =
            |text: &str| text.parse::<Name>().map_err(|_| format!("no such object: '{text}'"));
        match *parts.as_slice() {
            ["node", node] => Ok(Self::Node(name(node)?)),
            ["gateway", cluster, node] => {
                Ok(Self::Gateway { cluster: name(cluster)?, node: name(node)? })
            }
            ["slice", slice] => Ok(Self::Slice(name(slice)?)),
            ["network", slice, network] => {
                Ok(Self::Network { slice: name(slice)?, name: name(network)? })
            }
            ["port", slice, network, port] => {
                Ok(Self::Port { slice: name(slice)?, network: name(network)?, name: name(port)? })
            }
            _ => Err(format!("no such object: '{text}'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_texts_are_read_back() {
        for text in ["node/n1", "gateway/a/n1", "slice/s", "network/s/n", "port/s/n/p"] {
            assert_eq!(text.parse::<ObjectKey>().map(|key| key.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "node", "node/A", "slice/s/n", "port/s/n"] {
            assert!(text.parse::<ObjectKey>().is_err(), "{text}");
        }
        for text in ["sco", "cluster/a"] {
            assert_eq!(
                text.parse::<Target>().map(|target| target.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "cluster/", "a"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
