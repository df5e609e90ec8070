use std::collections::BTreeSet;

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
}

/// An undirected link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// One end.
    pub a: Name,
    /// The other end.
    pub b: Name,
}

/// What is known of a slice beside its condition: nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SliceDetail {}

impl SliceSpec {
    /// The part of the cluster with this name.
    pub fn cluster(&self, name: &Name) -> Option<&SliceCluster> {
        self.clusters.iter().find(|part| part.cluster == *name)
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
}
