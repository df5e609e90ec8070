use std::collections::{BTreeMap, BTreeSet};

use l2sces_measurement::Policy;
use l2sces_model::Name;
use serde::{Deserialize, Serialize};

use super::{ClusterSpec, Kind, Node, Resource};

/// Clusters joined for one tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice;

impl Resource for Slice {
    const KIND: Kind = Kind::Slice;
    type Spec = SliceSpec;
    type Detail = SliceDetail;
}

/// What is wanted of a slice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SliceSpec {
    /// Its clusters, at least one; names are unique.
    pub clusters: Vec<SliceCluster>,
    /// Links between clusters; none: every cluster with every other.
    pub links: Vec<Link>,
    /// What is measured of its links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<Policy>,
    /// The slice's generation in which its set of clusters last changed: networks that span all of
    /// them are the same as long as it stays.
    #[serde(default)]
    pub clusters_generation: i64,
}

/// A cluster's part in a slice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SliceCluster {
    /// Name of the cluster.
    pub cluster: Name,
    /// The nodes that take part; none: see [`SliceCluster::members`].
    pub nodes: Vec<Name>,
    /// Links between the nodes; none: every node with every other.
    pub links: Vec<Link>,
    /// Labels that a node has all of if it carries the frames of others; none: every node does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transit_labels: BTreeMap<String, String>,
}

/// An undirected link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// One end.
    pub a: Name,
    /// The other end.
    pub b: Name,
    /// What it costs to use; 0: as much as a link of which nothing is said, 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cost: u16,
    /// Of a link between clusters: the gateway of `a` that it ends on; none: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_a: Option<Name>,
    /// The same for `b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_b: Option<Name>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is known of a slice beside its condition: nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SliceDetail {}

impl SliceSpec {
    /// The part of the cluster with this name.
    pub fn cluster(&self, name: &Name) -> Option<&SliceCluster> {
        self.clusters.iter().find(|part| part.cluster == *name)
    }

    /// Notes whether the set of clusters has changed since `before`, in this generation.
    pub fn number_clusters(&mut self, before: Option<&Self>, generation: i64) {
        let names = |spec: &Self| -> BTreeSet<Name> {
            spec.clusters.iter().map(|part| part.cluster.clone()).collect()
        };
        self.clusters_generation = match before {
            Some(before) if names(before) == names(self) => before.clusters_generation,
            _ => generation,
        };
    }

    /// Whether a link joins two clusters.
    pub fn joins(&self, one: &Name, other: &Name) -> bool {
        let is_it =
            |link: &Link| (&link.a, &link.b) == (one, other) || (&link.b, &link.a) == (one, other);
        self.links.is_empty() || self.links.iter().any(is_it)
    }

    /// Whether there is something to reach beyond a single cluster.
    pub fn spans_clusters(&self) -> bool {
        self.clusters.len() > 1
    }
}

impl SliceCluster {
    /// The nodes of the cluster that take part: those named; else, if links are given, those that
    /// the links name, so that a node that joins the cluster later waits for its links; else all.
    pub fn members<'a>(&self, cluster: &'a ClusterSpec) -> Vec<&'a Node> {
        let named: BTreeSet<&Name> = if self.nodes.is_empty() {
            self.links.iter().flat_map(|link| [&link.a, &link.b]).collect()
        } else {
            self.nodes.iter().collect()
        };
        let all = named.is_empty();
        cluster.nodes.iter().filter(|node| all || named.contains(&node.name)).collect()
    }

    /// Those of the nodes that take part which carry the frames of others only where there is no
    /// other way.
    pub fn avoids_transit<'a>(&self, cluster: &'a ClusterSpec) -> Vec<&'a Node> {
        let lacks_label = |node: &&Node| {
            self.transit_labels.iter().any(|(key, value)| node.labels.get(key) != Some(value))
        };
        self.members(cluster).into_iter().filter(lacks_label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Driver;

    fn spec(clusters: &[&str]) -> SliceSpec {
        let part = |cluster: &&str| SliceCluster {
            cluster: cluster.parse().unwrap(),
            nodes: Vec::new(),
            links: Vec::new(),
            transit_labels: BTreeMap::new(),
        };
        SliceSpec {
            clusters: clusters.iter().map(part).collect(),
            links: Vec::new(),
            measurement: None,
            clusters_generation: 0,
        }
    }

    #[test]
    fn only_another_set_of_clusters_is_numbered_anew() {
        let mut first = spec(&["a", "b"]);
        first.number_clusters(None, 1);
        assert_eq!(first.clusters_generation, 1);
        let mut second = spec(&["b", "a"]);
        second.number_clusters(Some(&first), 2);
        assert_eq!(second.clusters_generation, 1);
        let mut third = spec(&["a", "c"]);
        third.number_clusters(Some(&second), 3);
        assert_eq!(third.clusters_generation, 3);
    }

    #[test]
    fn nodes_that_lack_a_label_avoid_transit() {
        let node = |name: &str, labels: &[(&str, &str)]| Node {
            name: name.parse().unwrap(),
            underlay: "10.0.0.1".parse().unwrap(),
            agent: "https://a:1".parse().ok(),
            gateway: None,
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            generation: 1,
        };
        let cluster = ClusterSpec {
            driver: Driver::Direct("https://c:1".parse().unwrap()),
            nodes: vec![
                node("n1", &[("size", "large"), ("zone", "x")]),
                node("n2", &[("size", "small"), ("zone", "x")]),
                node("n3", &[("size", "large")]),
            ],
        };
        let mut part = spec(&["a"]).clusters.remove(0);
        let avoids = |part: &SliceCluster| -> Vec<String> {
            part.avoids_transit(&cluster).iter().map(|node| node.name.to_string()).collect()
        };
        assert_eq!(avoids(&part), [""; 0]);
        part.transit_labels = [("size", "large"), ("zone", "x")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        assert_eq!(avoids(&part), ["n2", "n3"]);
        part.nodes = vec!["n1".parse().unwrap(), "n3".parse().unwrap()];
        assert_eq!(avoids(&part), ["n3"]);
    }
}
