use std::{collections::BTreeSet, str::FromStr};

use l2sces_model::{Name, NameError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Clusters and their nodes. Node names are unique in the whole lab, so that a name says which.
///
/// As text: clusters separated by blanks, each `name=node,node`, a gateway marked by a star:
/// `a=a1*,a2 b=b1*,b2`. With `kubernetes:` in front it is a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// The clusters, in the order of their addresses.
    pub clusters: Vec<ClusterTopology>,
    /// The Kubernetes clusters, in the order of their addresses.
    pub kubernetes: Vec<ClusterTopology>,
}

/// A cluster: nodes that share an underlay and an sdn-controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterTopology {
    /// Name, unique in the lab.
    pub name: Name,
    /// The nodes, in the order of their addresses.
    pub nodes: Vec<NodeTopology>,
}

/// A node: a host with one Open vSwitch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTopology {
    /// Name, unique in the lab.
    pub name: Name,
    /// Whether it is also connected to the WAN, and runs a ned-agent.
    pub gateway: bool,
}

/// Why something is no [`Topology`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopologyError {
    /// A cluster is not written as `name=node,node`.
    #[error("cluster {0:?} must be written as name=node,node")]
    Syntax(String),
    /// A name is no DNS label.
    #[error("name {name:?} {source}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Two clusters, or two nodes, have one name.
    #[error("{0:?} is there twice")]
    Duplicate(Name),
    /// The name must fit into the names of interfaces and into paths of sockets.
    #[error("name {0:?} is longer than 12 characters")]
    TooLong(Name),
    /// What a node of Kubernetes is, its custom resources say.
    #[error("Kubernetes node {0:?} cannot be marked as a gateway: a NetworkEdgeDevice does that")]
    MarkedGateway(Name),
    /// The addressing plan has room for 200 clusters and 20 of Kubernetes, of 200 nodes.
    #[error("at most 200 clusters, and 20 of Kubernetes, of at most 200 nodes")]
    TooLarge,
}

impl Topology {
    /// Clusters `a` (gateway `a1`, `a2`) and `b` (gateway `b1`, `b2`).
    pub fn two_clusters() -> Self {
        let cluster = |name: &str, nodes: [(&str, bool); 2]| ClusterTopology {
            name: literal(name),
            nodes: nodes
                .map(|(name, gateway)| NodeTopology { name: literal(name), gateway })
                .into(),
        };
        Self {
            clusters: vec![
                cluster("a", [("a1", true), ("a2", false)]),
                cluster("b", [("b1", true), ("b2", false)]),
            ],
            kubernetes: Vec::new(),
        }
    }

    /// Kubernetes clusters `a` (nodes `a1`, `a2`) and `b` (`b1`, `b2`).
    pub fn two_kubernetes_clusters() -> Self {
        let mut kubernetes = Self::two_clusters().clusters;
        for node in kubernetes.iter_mut().flat_map(|cluster| &mut cluster.nodes) {
            node.gateway = false;
        }
        Self { clusters: Vec::new(), kubernetes }
    }

    /// Checks that names are unique and short, and the lab not too large.
    ///
    /// # Errors
    /// It is not so.
    pub fn validate(&self) -> Result<(), TopologyError> {
        let mut nodes = BTreeSet::new();
        let mut clusters = BTreeSet::new();
        let all = || self.clusters.iter().chain(&self.kubernetes);
        let mut names = all().flat_map(|cluster| {
            std::iter::once(&cluster.name).chain(cluster.nodes.iter().map(|node| &node.name))
        });
        if let Some(name) = names.find(|name| name.as_str().len() > 12) {
            return Err(TopologyError::TooLong(name.clone()));
        }
        for cluster in all() {
            if !clusters.insert(&cluster.name) {
                return Err(TopologyError::Duplicate(cluster.name.clone()));
            }
            if cluster.nodes.len() > 200 || clusters.len() > 200 || self.kubernetes.len() > 20 {
                return Err(TopologyError::TooLarge);
            }
            for node in &cluster.nodes {
                if !nodes.insert(&node.name) {
                    return Err(TopologyError::Duplicate(node.name.clone()));
                }
            }
        }
        let mut of_kubernetes = self.kubernetes.iter().flat_map(|cluster| &cluster.nodes);
        match of_kubernetes.find(|node| node.gateway) {
            Some(node) => Err(TopologyError::MarkedGateway(node.name.clone())),
            None => Ok(()),
        }
    }
}

/// A name that is known to be one.
fn literal(name: &str) -> Name {
    name.parse().unwrap_or_else(|_| unreachable!("{name:?} is a DNS label"))
}

impl FromStr for Topology {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, TopologyError> {
        let parse_name = |name: &str| {
            name.parse::<Name>()
                .map_err(|source| TopologyError::Name { name: name.to_owned(), source })
        };
        let mut topology = Self { clusters: Vec::new(), kubernetes: Vec::new() };
        for part in text.split_whitespace() {
            let (part, clusters) = match part.strip_prefix("kubernetes:") {
                Some(part) => (part, &mut topology.kubernetes),
                None => (part, &mut topology.clusters),
            };
            let (name, nodes) =
                part.split_once('=').ok_or_else(|| TopologyError::Syntax(part.to_owned()))?;
            let nodes = nodes
                .split(',')
                .map(|node| {
                    Ok(NodeTopology {
                        name: parse_name(node.trim_end_matches('*'))?,
                        gateway: node.ends_with('*'),
                    })
                })
                .collect::<Result<_, TopologyError>>()?;
            clusters.push(ClusterTopology { name: parse_name(name)?, nodes });
        }
        topology.validate()?;
        Ok(topology)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_text() {
        assert_eq!("a=a1*,a2  b=b1*,b2".parse(), Ok(Topology::two_clusters()));
        let kubernetes = "kubernetes:a=a1,a2 kubernetes:b=b1,b2".parse();
        assert_eq!(kubernetes, Ok(Topology::two_kubernetes_clusters()));
        let mixed: Topology = "kubernetes:a=a1 b=b1*".parse().unwrap();
        assert_eq!((mixed.clusters.len(), mixed.kubernetes.len()), (1, 1));
    }

    #[test]
    fn refuses_what_it_cannot_build() {
        let duplicate = TopologyError::Duplicate("x".parse().unwrap());
        assert_eq!("a=x b=x".parse::<Topology>(), Err(duplicate.clone()));
        assert_eq!("x=y x=z".parse::<Topology>(), Err(duplicate.clone()));
        assert_eq!("a=x kubernetes:b=x".parse::<Topology>(), Err(duplicate));
        let gateway = TopologyError::MarkedGateway("y".parse().unwrap());
        assert_eq!("kubernetes:x=y*".parse::<Topology>(), Err(gateway));
        assert_eq!("a".parse::<Topology>(), Err(TopologyError::Syntax("a".to_owned())));
        assert!(matches!("a=X".parse::<Topology>(), Err(TopologyError::Name { .. })));
        let long = "abcdefghijklm";
        let too_long = TopologyError::TooLong(long.parse().unwrap());
        assert_eq!(format!("a={long}").parse::<Topology>(), Err(too_long));
        let many: Vec<_> = (0..201).map(|n| format!("n{n}")).collect();
        assert_eq!(
            format!("a={}", many.join(",")).parse::<Topology>(),
            Err(TopologyError::TooLarge)
        );
    }
}
