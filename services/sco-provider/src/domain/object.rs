use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use l2sces_model::{DatapathId, MacAddress, Name, Vni};

use super::{EndpointKey, GatewayKey, NetworkKey, Version};

/// A gateway node, on which a ned-agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Names it.
    pub key: GatewayKey,
    /// Version of this description.
    pub version: Version,
    /// Endpoint of its ned-agent, a URL.
    pub agent_endpoint: String,
    /// Address that its tunnels end on.
    pub underlay_address: IpAddr,
}

/// An undirected link between two clusters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterLink {
    a: Name,
    b: Name,
}

impl ClusterLink {
    /// The link between two clusters, whichever is named first; none from a cluster to itself.
    pub fn between(one: Name, other: Name) -> Option<Self> {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => Some(Self { a: one, b: other }),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Self { a: other, b: one }),
        }
    }

    /// The cluster whose name comes first.
    pub fn a(&self) -> &Name {
        &self.a
    }

    /// The cluster whose name comes last.
    pub fn b(&self) -> &Name {
        &self.b
    }
}

/// The inter-cluster part of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its name.
    pub name: Name,
    /// Version of this description.
    pub version: Version,
    /// Its clusters.
    pub clusters: Vec<Name>,
    /// Its gateways, in the order of preference within a cluster.
    pub gateways: Vec<GatewayKey>,
    /// Its links between clusters, each once.
    pub links: Vec<ClusterLink>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Names it.
    pub key: NetworkKey,
    /// Version of this description.
    pub version: Version,
    /// The clusters that it spans.
    pub clusters: Vec<Name>,
    /// Its addresses.
    pub cidr: Option<IpNet>,
}

/// What a network has been given for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// VXLAN network identifier.
    pub vni: Vni,
    /// MTU of its ports, in bytes.
    pub mtu: u32,
}

/// A port of a network, as the other clusters see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Names it.
    pub key: EndpointKey,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Its IP address.
    pub address: Option<IpAddr>,
}

/// A gateway as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGateway {
    /// What is wanted.
    pub gateway: Gateway,
    /// Names its switch in group numbers, for life.
    pub ordinal: u16,
    /// Its removal was asked for.
    pub deleting: bool,
}

/// A gateway as a slice sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceGateway {
    /// Names it.
    pub key: GatewayKey,
    /// Its `br-ned`.
    pub datapath_id: DatapathId,
}

impl From<GatewayKey> for SliceGateway {
    fn from(key: GatewayKey) -> Self {
        let datapath_id = key.datapath_id();
        Self { key, datapath_id }
    }
}

/// A slice as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSlice {
    /// What is wanted.
    pub slice: Slice,
    /// Names it in group numbers, for life.
    pub ordinal: u16,
    /// Its removal was asked for.
    pub deleting: bool,
}

/// A network as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNetwork {
    /// What is wanted.
    pub network: Network,
    /// What it has been given.
    pub identity: Identity,
    /// Its removal was asked for.
    pub deleting: bool,
    /// The gateways of its slice, in the order of preference within a cluster.
    pub gateways: Vec<GatewayKey>,
}

impl StoredNetwork {
    /// The gateway whose trunk the network uses, for each of its clusters that has one. A network
    /// that spans one cluster only needs none; nor has one that is being removed.
    pub fn handoffs(&self) -> BTreeMap<Name, SliceGateway> {
        let clusters = &self.network.clusters;
        if clusters.len() < 2 || self.deleting {
            return BTreeMap::new();
        }
        clusters
            .iter()
            .filter_map(|cluster| {
                let gateway = self.gateways.iter().find(|gateway| gateway.cluster == *cluster)?;
                Some((cluster.clone(), SliceGateway::from(gateway.clone())))
            })
            .collect()
    }
}

/// An endpoint as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// What is announced.
    pub endpoint: Endpoint,
    /// The DNS may have a record of it.
    pub named: bool,
    /// Its removal was asked for.
    pub deleting: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn gateway(cluster: &str, node: &str) -> GatewayKey {
        GatewayKey { cluster: name(cluster), node: name(node) }
    }

    fn network(clusters: &[&str]) -> StoredNetwork {
        StoredNetwork {
            network: Network {
                key: NetworkKey { slice: name("s"), name: name("n") },
                version: Version { uid: "u".to_owned(), generation: 1 },
                clusters: clusters.iter().map(|cluster| name(cluster)).collect(),
                cidr: None,
            },
            identity: Identity { vni: Vni::try_from(7).unwrap(), mtu: 1450 },
            deleting: false,
            gateways: vec![gateway("b", "b2"), gateway("a", "a1"), gateway("b", "b1")],
        }
    }

    #[test]
    fn the_first_gateway_of_a_cluster_is_its_handoff() {
        let handoffs = network(&["a", "b"]).handoffs();
        let chosen: Vec<_> = handoffs.values().map(|gateway| gateway.key.clone()).collect();
        assert_eq!(chosen, [gateway("a", "a1"), gateway("b", "b2")]);
    }

    #[test]
    fn a_cluster_without_gateway_has_no_handoff() {
        let handoffs = network(&["a", "c"]).handoffs();
        assert_eq!(handoffs.keys().collect::<Vec<_>>(), [&name("a")]);
    }

    #[test]
    fn a_network_within_one_cluster_or_on_its_way_out_has_none() {
        assert!(network(&["a"]).handoffs().is_empty());
        assert!(StoredNetwork { deleting: true, ..network(&["a", "b"]) }.handoffs().is_empty());
    }

    #[test]
    fn a_link_has_no_direction_and_two_ends() {
        let link = ClusterLink::between(name("b"), name("a"));
        assert_eq!(link, ClusterLink::between(name("a"), name("b")));
        assert_eq!(ClusterLink::between(name("a"), name("a")), None);
    }
}
