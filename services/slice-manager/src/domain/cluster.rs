use std::{collections::BTreeMap, net::IpAddr};

use l2sces_model::Name;
use serde::{Deserialize, Serialize};

use super::{Endpoint, Kind, Resource};
use crate::vault::Sealed;

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
    /// How it is reached.
    #[serde(flatten)]
    pub driver: Driver,
    /// Its hosts; names are unique.
    pub nodes: Vec<Node>,
}

/// How a cluster is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// By calls of its sdn-controller, which listens here.
    #[serde(rename = "controller")]
    Direct(Endpoint),
    /// By custom resources in its API server.
    Kubernetes(KubernetesDriver),
}

/// How the API server of a cluster is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KubernetesDriver {
    /// What is no secret.
    #[serde(flatten)]
    pub server: KubernetesServer,
    /// As whom.
    pub credentials: Sealed,
}

/// An API server, and what is done there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KubernetesServer {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The authorities that may have issued its certificate, PEM.
    pub ca_pem: String,
    /// Namespace of the custom resources.
    pub namespace: Name,
    /// What is done about changes by others.
    pub drift: DriftPolicy,
}

/// What is done about custom resources that others have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftPolicy {
    /// They are made as they should be again.
    Mend,
    /// The condition says so.
    Report,
}

/// A host with one Open vSwitch and one sps-agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// Where the tunnels of its cluster end.
    pub underlay: IpAddr,
    /// Where its sps-agent listens; none: an operator knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Endpoint>,
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
    /// Where its ned-agent listens; none: an operator knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Endpoint>,
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
            agent: "https://a:1".parse().ok(),
            gateway: None,
            labels: BTreeMap::new(),
            generation: 0,
        }
    }

    #[test]
    fn only_changed_nodes_get_the_new_generation() {
        let driver = Driver::Direct("https://c:1".parse().unwrap());
        let nodes = vec![node("n1", "10.0.0.1"), node("n2", "10.0.0.2")];
        let mut first = ClusterSpec { driver: driver.clone(), nodes };
        first.number_nodes(None, 1);
        let mut relabelled = node("n2", "10.0.0.2");
        relabelled.labels = [("size".to_owned(), "large".to_owned())].into();
        let nodes = vec![node("n3", "10.0.0.3"), relabelled.clone(), node("n1", "10.0.0.9")];
        let mut second = ClusterSpec { driver, nodes };
        second.number_nodes(Some(&first), 2);
        let generations: Vec<_> =
            second.nodes.iter().map(|node| (node.name.as_str(), node.generation)).collect();
        assert_eq!(generations, [("n3", 2), ("n2", 1), ("n1", 2)]);
        assert_eq!(second.nodes[1].labels, relabelled.labels);
    }

    #[test]
    fn what_was_stored_before_there_were_drivers_is_read() {
        let stored = r#"{"controller": "https://c:1", "nodes": [
            {"name": "n1", "underlay": "10.0.0.1", "agent": "https://a:1", "generation": 3}]}"#;
        let spec: ClusterSpec = serde_json::from_str(stored).unwrap();
        assert_eq!(spec.driver, Driver::Direct("https://c:1".parse().unwrap()));
        assert_eq!(spec.nodes[0].agent, "https://a:1".parse().ok());
        let again = serde_json::to_value(&spec).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(stored).unwrap());
    }

    #[test]
    fn a_driver_is_read_as_it_was_stored() {
        let stored = serde_json::json!({"nodes": [], "kubernetes": {
            "endpoint": "https://k:6443", "ca_pem": "-", "namespace": "default", "drift": "report",
            "credentials": {"key": "k1", "box": "AAAA"}}});
        let spec: ClusterSpec = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(serde_json::to_value(&spec).unwrap(), stored);
    }
}
