//! Parts of slices, in the words of the stories.

use l2sces_proto::slice::v1::{Link, SliceCluster, SliceSpec};

/// A slice of these parts of clusters, joined by these links; without links, every cluster with
/// every other.
pub fn slice(clusters: Vec<SliceCluster>, links: Vec<Link>) -> SliceSpec {
    SliceSpec { clusters, links, measurement: None }
}

/// A cluster with some nodes, or all if none are named, each linked with every other.
pub fn mesh(cluster: &str, nodes: &[&str]) -> SliceCluster {
    let nodes = nodes.iter().map(|&node| node.to_owned()).collect();
    SliceCluster { cluster: cluster.to_owned(), nodes, ..Default::default() }
}

/// A cluster with the nodes that these links, written as `d1-d2 d2-d3`, join.
pub fn overlay(cluster: &str, links: &str) -> SliceCluster {
    let links = links.split_whitespace().filter_map(|link| link.split_once('-'));
    let links = links.map(|(a, b)| link(a, b)).collect();
    SliceCluster { cluster: cluster.to_owned(), links, ..Default::default() }
}

/// A link between two nodes, or between two clusters by all of their gateways.
pub fn link(a: &str, b: &str) -> Link {
    Link { endpoint_a: a.to_owned(), endpoint_b: b.to_owned(), ..Default::default() }
}

/// A link between two clusters, each given with the gateway that the link ends on.
pub fn link_by(a: (&str, &str), b: (&str, &str)) -> Link {
    Link { gateway_a: a.1.to_owned(), gateway_b: b.1.to_owned(), ..link(a.0, b.0) }
}
