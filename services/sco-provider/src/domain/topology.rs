use l2sces_controller::{LinkEnd, LinkSpec};
use l2sces_model::{InterfaceName, Name};

use super::{GatewayKey, Slice};

/// Every link costs the same, so paths are as short as they can be.
const LINK_COST: u32 = 1;

/// Name of the tunnel interface towards another gateway.
pub fn tunnel_interface(peer: &GatewayKey) -> InterfaceName {
    InterfaceName::for_tunnel(&["ned", peer.cluster.as_str(), peer.node.as_str()])
}

/// The links between gateways that a slice may use: for every link between two clusters, one from
/// each gateway of the one to each gateway of the other.
pub fn links(slice: &Slice) -> Vec<LinkSpec> {
    slice
        .links
        .iter()
        .flat_map(|link| {
            gateways_in(slice, link.a())
                .flat_map(move |a| gateways_in(slice, link.b()).map(move |b| (a, b)))
        })
        .map(|(a, b)| LinkSpec {
            a: LinkEnd { switch: a.datapath_id(), interface: tunnel_interface(b) },
            b: LinkEnd { switch: b.datapath_id(), interface: tunnel_interface(a) },
            cost: LINK_COST,
        })
        .collect()
}

fn gateways_in<'slice>(
    slice: &'slice Slice,
    cluster: &'slice Name,
) -> impl Iterator<Item = &'slice GatewayKey> {
    slice.gateways.iter().filter(move |gateway| gateway.cluster == *cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClusterLink, Version};

    fn gateway(text: &str) -> GatewayKey {
        let (cluster, node) = text.split_once('/').unwrap();
        GatewayKey { cluster: cluster.parse().unwrap(), node: node.parse().unwrap() }
    }

    fn slice(gateways: &[&str], links: &[(&str, &str)]) -> Slice {
        let name = |text: &str| text.parse::<Name>().unwrap();
        Slice {
            name: name("s"),
            version: Version { uid: "u".to_owned(), generation: 1 },
            clusters: ["a", "b", "c"].map(name).to_vec(),
            gateways: gateways.iter().map(|text| gateway(text)).collect(),
            links: links
                .iter()
                .map(|(a, b)| ClusterLink::between(name(a), name(b)).unwrap())
                .collect(),
        }
    }

    #[test]
    fn linked_clusters_link_all_their_gateways_and_no_others() {
        let links = links(&slice(&["a/1", "a/2", "b/1", "c/1"], &[("a", "b")]));
        let ends = |a: &str, b: &str| (gateway(a).datapath_id(), gateway(b).datapath_id());
        let found: Vec<_> = links.iter().map(|link| (link.a.switch, link.b.switch)).collect();
        assert_eq!(found, [ends("a/1", "b/1"), ends("a/2", "b/1")]);
    }

    #[test]
    fn an_end_is_named_after_the_far_gateway() {
        let links = links(&slice(&["a/1", "b/1"], &[("a", "b")]));
        assert_eq!(links[0].a.interface, tunnel_interface(&gateway("b/1")));
        assert_eq!(links[0].b.interface, tunnel_interface(&gateway("a/1")));
    }

    #[test]
    fn a_cluster_without_gateway_has_no_links() {
        assert!(links(&slice(&["a/1"], &[("a", "b"), ("b", "c")])).is_empty());
    }
}
