use std::{collections::BTreeMap, net::IpAddr};

use l2sces_model::Name;
use serde::{Deserialize, Serialize};

use super::{Endpoint, Kind, Resource};

/// A managed domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cluster;

impl Resource for Cluster {
    const KIND: Kind = Kind::Cluster;
    type Spec = ClusterSpec;
    type Detail = ClusterDetail;
}

/// What is wanted of a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Where its sdn-controller listens.
    pub controller: Endpoint,
    /// Its hosts; names are unique.
    pub nodes: Vec<Node>,
}

/// A host with one Open vSwitch and one sps-agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// Where the tunnels of its cluster end.
    pub underlay: IpAddr,
    /// Where its sps-agent listens.
    pub agent: Endpoint,
    /// What makes it a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// Labels that slices choose nodes by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The cluster's generation in which this description last changed: its version downstream, so
    /// that a change of one node is not a change of all.
    pub generation: i64,
}

/// The part of a gateway node that faces other clusters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gateway {
    /// Where its ned-agent listens.
    pub agent: Endpoint,
    /// Where the tunnels between clusters end.
    pub underlay: IpAddr,
}

/// What is known of a cluster beside its condition.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClusterDetail {
    /// State of each node.
    pub nodes: Vec<NodeStatus>,
}

/// What is known of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: Name,
    /// Whether its switch is under control.
    pub ready: bool,
    /// Why not.
    pub message: String,
}

impl ClusterSpec {
    /// The node with this name.
    pub fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// Gives every node that differs from its description in `before` this generation, and keeps
    /// that of the others. Labels do not count: only slices are made of them.
    pub fn number_nodes(&mut self, before: Option<&Self>, generation: i64) {
        let before: BTreeMap<&Name, &Node> = before
            .into_iter()
            .flat_map(|spec| &spec.nodes)
            .map(|node| (&node.name, node))
            .collect();
        for node in &mut self.nodes {
            node.generation = generation;
            if let Some(old) = before.get(&node.name) {
                let (labels, generation) = (old.labels.clone(), old.generation);
                if (Node { labels, generation, ..node.clone() }) == **old {
                    node.generation = generation;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: &str) -> Node {
        Node {
            name: name.parse().unwrap(),
            underlay: address.parse().unwrap(),
            agent: "https://a:1".parse().unwrap(),
            gateway: None,
            labels: BTreeMap::new(),
            generation: 0,
        }
    }

    #[test]
    fn only_changed_nodes_get_the_new_generation() {
        let controller: Endpoint = "https://c:1".parse().unwrap();
        let nodes = vec![node("n1", "10.0.0.1"), node("n2", "10.0.0.2")];
        let mut first = ClusterSpec { controller: controller.clone(), nodes };
        first.number_nodes(None, 1);
        let mut relabelled = node("n2", "10.0.0.2");
        relabelled.labels = [("size".to_owned(), "large".to_owned())].into();
        let nodes = vec![node("n3", "10.0.0.3"), relabelled.clone(), node("n1", "10.0.0.9")];
        let mut second = ClusterSpec { controller, nodes };
        second.number_nodes(Some(&first), 2);
        let generations: Vec<_> =
            second.nodes.iter().map(|node| (node.name.as_str(), node.generation)).collect();
        assert_eq!(generations, [("n3", 2), ("n2", 1), ("n1", 2)]);
        assert_eq!(second.nodes[1].labels, relabelled.labels);
    }
}
