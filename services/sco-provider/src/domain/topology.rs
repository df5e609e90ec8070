use std::{cmp::Reverse, collections::BTreeMap};

use l2sces_controller::{LinkEnd, LinkSpec};
use l2sces_model::{InterfaceName, Name};

use super::{GatewayKey, Slice, StoredSlice};

/// The gateways of a slice and the links between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// In the order of preference within a cluster.
    pub gateways: Vec<GatewayKey>,
    /// No two between the same gateways.
    pub links: Vec<GatewayLink>,
}

/// An undirected link between two gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayLink {
    /// The gateway in the cluster whose name comes first.
    pub a: GatewayKey,
    /// The gateway in the other cluster.
    pub b: GatewayKey,
    /// What it costs to use it, at least 1.
    pub cost: u32,
}

impl Topology {
    /// Whether a cluster has a gateway.
    pub fn has_gateway_in(&self, cluster: &Name) -> bool {
        self.gateways.iter().any(|gateway| gateway.cluster == *cluster)
    }
}

impl StoredSlice {
    /// The gateways that may have tunnels of the slice: its own, and those that it has lost.
    pub fn gateways_in_use(&self) -> impl Iterator<Item = &GatewayKey> {
        self.slice.gateways.iter().chain(&self.leaving.gateways)
    }

    /// The gateways and links that its networks may still be using: those of the slice, as they are
    /// now, and those that it has lost.
    pub fn topology_in_use(&self) -> Topology {
        let mut topology = Topology::from(&self.slice);
        if self.leaving.is_empty() {
            return topology;
        }
        let mut whole = self.slice.clone();
        whole.gateways.extend(self.leaving.gateways.iter().cloned());
        whole.links.extend(self.leaving.links.iter().cloned());
        let whole = Topology::from(&whole);
        let is_lost = |link: &GatewayLink| {
            !topology.links.iter().any(|own| (&own.a, &own.b) == (&link.a, &link.b))
        };
        let lost: Vec<_> = whole.links.into_iter().filter(is_lost).collect();
        topology.links.extend(lost);
        topology.gateways = whole.gateways;
        topology
    }
}

/// Of several links of a slice that join the same gateways the one that names more of them counts,
/// then the cheaper one.
impl From<&Slice> for Topology {
    fn from(slice: &Slice) -> Self {
        let mut links = slice.links.clone();
        let named = |end: &super::ClusterEnd| usize::from(end.node.is_some());
        links.sort_by_key(|link| (Reverse(named(link.a()) + named(link.b())), link.cost()));
        let mut costs = BTreeMap::new();
        for link in &links {
            for a in slice.gateways.iter().filter(|gateway| link.a().is_at(gateway)) {
                for b in slice.gateways.iter().filter(|gateway| link.b().is_at(gateway)) {
                    costs.entry((a, b)).or_insert(link.cost().get());
                }
            }
        }
        let links = costs.into_iter();
        Self {
            gateways: slice.gateways.clone(),
            links: links
                .map(|((a, b), cost)| GatewayLink { a: a.clone(), b: b.clone(), cost })
                .collect(),
        }
    }
}

impl From<&GatewayLink> for LinkSpec {
    fn from(link: &GatewayLink) -> Self {
        let end = |own: &GatewayKey, peer| LinkEnd {
            switch: own.datapath_id(),
            interface: tunnel_interface(peer),
        };
        Self { a: end(&link.a, &link.b), b: end(&link.b, &link.a), cost: link.cost }
    }
}

/// Name of the tunnel interface towards another gateway.
pub fn tunnel_interface(peer: &GatewayKey) -> InterfaceName {
    InterfaceName::for_tunnel(&["ned", peer.cluster.as_str(), peer.node.as_str()])
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::domain::{ClusterEnd, ClusterLink, Version};

    fn gateway(text: &str) -> GatewayKey {
        let (cluster, node) = text.split_once('/').unwrap();
        GatewayKey { cluster: cluster.parse().unwrap(), node: node.parse().unwrap() }
    }

    /// A cluster, or one of its gateways.
    fn end(text: &str) -> ClusterEnd {
        match text.split_once('/') {
            Some(_) => {
                ClusterEnd { cluster: gateway(text).cluster, node: Some(gateway(text).node) }
            }
            None => text.parse::<Name>().unwrap().into(),
        }
    }

    fn topology(gateways: &[&str], links: &[(&str, &str, u32)]) -> Topology {
        let links = links.iter().map(|(a, b, cost)| {
            ClusterLink::between(end(a), end(b), NonZeroU32::new(*cost).unwrap()).unwrap()
        });
        Topology::from(&Slice {
            name: "s".parse().unwrap(),
            version: Version { uid: "u".to_owned(), generation: 1 },
            clusters: ["a", "b", "c"].map(|text| text.parse().unwrap()).to_vec(),
            gateways: gateways.iter().map(|text| gateway(text)).collect(),
            links: links.collect(),
            measurement: None,
        })
    }

    fn found(topology: &Topology) -> Vec<(String, String, u32)> {
        let text = |link: &GatewayLink| (link.a.to_string(), link.b.to_string(), link.cost);
        topology.links.iter().map(text).collect()
    }

    fn expected(links: &[(&str, &str, u32)]) -> Vec<(String, String, u32)> {
        links.iter().map(|(a, b, cost)| ((*a).to_owned(), (*b).to_owned(), *cost)).collect()
    }

    #[test]
    fn linked_clusters_join_all_their_gateways() {
        let topology = topology(&["a/1", "b/1", "c/1", "a/2"], &[("b", "a", 3)]);
        assert_eq!(found(&topology), expected(&[("a/1", "b/1", 3), ("a/2", "b/1", 3)]));
    }

    #[test]
    fn links_may_name_their_gateways() {
        let gateways = ["a/1", "a/2", "b/1", "b/2"];
        let topology = topology(&gateways, &[("b/2", "a", 1), ("a/1", "b/1", 2)]);
        let links = [("a/1", "b/1", 2), ("a/1", "b/2", 1), ("a/2", "b/2", 1)];
        assert_eq!(found(&topology), expected(&links));
    }

    #[test]
    fn the_link_that_names_more_gateways_counts_and_then_the_cheaper_one() {
        let gateways = ["a/1", "b/1", "b/2"];
        let links = [("a", "b", 1), ("a/1", "b/1", 9), ("a/1", "b", 7), ("a", "b/2", 5)];
        let topology = topology(&gateways, &links);
        assert_eq!(found(&topology), expected(&[("a/1", "b/1", 9), ("a/1", "b/2", 5)]));
    }

    #[test]
    fn an_end_is_named_after_the_far_gateway() {
        let topology = topology(&["a/1", "b/1"], &[("a", "b", 1)]);
        let link = LinkSpec::from(&topology.links[0]);
        assert_eq!(link.a.interface, tunnel_interface(&gateway("b/1")));
        assert_eq!(link.b.interface, tunnel_interface(&gateway("a/1")));
    }

    #[test]
    fn a_cluster_without_gateway_has_no_links() {
        assert!(topology(&["a/1"], &[("a", "b", 1), ("b", "c", 1)]).links.is_empty());
    }
}
