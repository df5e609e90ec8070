//! Objects in few words.

use std::num::NonZeroU32;

use ipnet::IpNet;
use l2sces_model::Name;
use sco_provider::{
    domain::{
        ClusterEnd, ClusterLink, Endpoint, EndpointKey, Gateway, GatewayKey, Network, NetworkKey,
        Slice, Version,
    },
    store::{LeaseRequest, ReleaseRequest},
};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| name(text)).collect()
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn version(uid: &str, generation: i64) -> Version {
    Version { uid: uid.to_owned(), generation }
}

/// `cluster/node`.
pub(crate) fn gateway_key(text: &str) -> GatewayKey {
    let (cluster, node) = text.split_once('/').unwrap();
    GatewayKey { cluster: name(cluster), node: name(node) }
}

/// `cluster/node`, at an address.
pub(crate) fn gateway(key: &str, address: &str) -> Gateway {
    Gateway {
        key: gateway_key(key),
        version: version("u", 1),
        agent_endpoint: format!("https://{}:50054", key.replace('/', ".")),
        underlay_address: address.parse().unwrap(),
    }
}

/// A slice of these clusters, all linked, with these gateways.
pub(crate) fn slice(text: &str, clusters: &[&str], gateways: &[&str]) -> Slice {
    let clusters = names(clusters);
    let links = clusters.iter().enumerate().flat_map(|(index, a)| {
        clusters[index + 1..]
            .iter()
            .map(move |b| ClusterLink::between(a.clone(), b.clone(), NonZeroU32::MIN).unwrap())
    });
    Slice {
        name: name(text),
        version: version("u", 1),
        links: links.collect(),
        gateways: gateways.iter().map(|key| gateway_key(key)).collect(),
        clusters,
        measurement: None,
    }
}

/// A link between two gateways, `cluster/node` each.
pub(crate) fn link(a: &str, b: &str, cost: u32) -> ClusterLink {
    let end = |text| {
        let GatewayKey { cluster, node } = gateway_key(text);
        ClusterEnd { cluster, node: Some(node) }
    };
    ClusterLink::between(end(a), end(b), NonZeroU32::new(cost).unwrap()).unwrap()
}

/// `slice/network`.
pub(crate) fn network_key(text: &str) -> NetworkKey {
    let (slice, network) = text.split_once('/').unwrap();
    NetworkKey { slice: name(slice), name: name(network) }
}

/// `slice/network`, in these clusters.
pub(crate) fn network(key: &str, clusters: &[&str], cidr: &str) -> Network {
    Network {
        key: network_key(key),
        version: version("u", 1),
        clusters: names(clusters),
        cidr: (!cidr.is_empty()).then(|| net(cidr)),
    }
}

/// A cluster that knows none of its blocks asks for one.
pub(crate) fn lease(network: &str, cluster: &str) -> LeaseRequest {
    LeaseRequest {
        network: network_key(network),
        cluster: name(cluster),
        known_blocks: Vec::new(),
        address: None,
    }
}

/// A cluster gives a block back.
pub(crate) fn release(network: &str, cluster: &str, block: &str) -> ReleaseRequest {
    ReleaseRequest { network: network_key(network), cluster: name(cluster), block: net(block) }
}

/// `slice/network/cluster/port`.
pub(crate) fn endpoint_key(text: &str) -> EndpointKey {
    let parts: Vec<_> = text.split('/').collect();
    EndpointKey {
        network: NetworkKey { slice: name(parts[0]), name: name(parts[1]) },
        cluster: name(parts[2]),
        port: name(parts[3]),
        learned: None,
    }
}

/// 02:00:00:00:00:`mac`, learned behind the port `slice/network/cluster/port`.
pub(crate) fn learned(port: &str, mac: u8) -> Endpoint {
    let mut endpoint = endpoint(port, mac, "");
    endpoint.key.learned = Some(endpoint.mac);
    endpoint
}

/// `slice/network/cluster/port`, with the MAC address 02:00:00:00:00:`mac`.
pub(crate) fn endpoint(key: &str, mac: u8, address: &str) -> Endpoint {
    Endpoint {
        key: endpoint_key(key),
        mac: l2sces_model::MacAddress::new([2, 0, 0, 0, 0, mac]),
        address: (!address.is_empty()).then(|| address.parse().unwrap()),
        alias: None,
    }
}

/// The same endpoint, found by another name as well.
pub(crate) fn also_named(alias: &str, endpoint: Endpoint) -> Endpoint {
    Endpoint { alias: Some(name(alias)), ..endpoint }
}
