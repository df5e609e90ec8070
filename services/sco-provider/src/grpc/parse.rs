//! From messages to domain objects. Every parser adds all that is wrong to the violations, and
//! returns nothing then.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32};

use ipnet::IpNet;
use l2sces_grpc::Violations;
use l2sces_measurement::Policy;
use l2sces_model::{MacAddress, Name};
use l2sces_proto::sco::v1 as proto;
use tonic::{Status, transport::Uri};

use crate::{
    domain::{
        ClusterEnd, ClusterLink, Endpoint, EndpointKey, Gateway, GatewayKey, Network, NetworkKey,
        Slice, Version, addressing,
    },
    store::{LeaseRequest, ReleaseRequest},
};

/// Longest uid: that of a UUID is 36 characters.
const UID_BYTES: usize = 64;
/// Longest endpoint of an agent.
const ENDPOINT_BYTES: usize = 512;

/// Parses a whole request.
///
/// # Errors
/// INVALID_ARGUMENT with all that is wrong.
pub(super) fn request<T>(parse: impl FnOnce(&mut Violations) -> Option<T>) -> Result<T, Status> {
    let mut violations = Violations::new();
    let parsed = parse(&mut violations);
    match parsed {
        Some(parsed) if violations.is_empty() => Ok(parsed),
        _ => Err(violations.into_status()),
    }
}

pub(super) fn present<'m, T>(
    violations: &mut Violations,
    field: &str,
    message: Option<&'m T>,
) -> Option<&'m T> {
    if message.is_none() {
        violations.add(field, "must be set");
    }
    message
}

pub(super) fn name(violations: &mut Violations, field: &str, text: &str) -> Option<Name> {
    violations.check(field, text.parse())
}

pub(super) fn version(
    violations: &mut Violations,
    field: &str,
    message: Option<&proto::Version>,
) -> Option<Version> {
    let message = present(violations, field, message)?;
    let is_uid = (1..=UID_BYTES).contains(&message.uid.len())
        && message.uid.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_uid {
        let wanted = format!("must be 1 to {UID_BYTES} printable ASCII characters");
        violations.add(format!("{field}.uid"), wanted);
    }
    if message.generation < 1 {
        violations.add(format!("{field}.generation"), "must be at least 1");
    }
    Some(Version { uid: message.uid.clone(), generation: message.generation })
}

pub(super) fn gateway_key(
    violations: &mut Violations,
    field: &str,
    message: Option<&proto::GatewayKey>,
) -> Option<GatewayKey> {
    let message = present(violations, field, message)?;
    let cluster = name(violations, &format!("{field}.cluster"), &message.cluster);
    let node = name(violations, &format!("{field}.node"), &message.node);
    Some(GatewayKey { cluster: cluster?, node: node? })
}

pub(super) fn network_key(
    violations: &mut Violations,
    field: &str,
    message: Option<&proto::NetworkKey>,
) -> Option<NetworkKey> {
    let message = present(violations, field, message)?;
    let slice = name(violations, &format!("{field}.slice"), &message.slice);
    let name = name(violations, &format!("{field}.name"), &message.name);
    Some(NetworkKey { slice: slice?, name: name? })
}

pub(super) fn endpoint_key(
    violations: &mut Violations,
    field: &str,
    message: Option<&proto::EndpointKey>,
) -> Option<EndpointKey> {
    let message = present(violations, field, message)?;
    let slice = name(violations, &format!("{field}.slice"), &message.slice);
    let network = name(violations, &format!("{field}.network"), &message.network);
    let cluster = name(violations, &format!("{field}.cluster"), &message.cluster);
    let port = name(violations, &format!("{field}.port"), &message.port);
    let learned = match message.learned_mac.as_str() {
        "" => Some(None),
        text => {
            let parsed = MacAddress::parse_unicast(text);
            violations.check(&format!("{field}.learned_mac"), parsed).map(Some)
        }
    };
    Some(EndpointKey {
        network: NetworkKey { slice: slice?, name: network? },
        cluster: cluster?,
        port: port?,
        learned: learned?,
    })
}

pub(super) fn gateway(
    violations: &mut Violations,
    message: Option<&proto::Gateway>,
) -> Option<Gateway> {
    let message = present(violations, "gateway", message)?;
    let key = gateway_key(violations, "gateway.key", message.key.as_ref());
    let version = version(violations, "gateway.version", message.version.as_ref());
    let endpoint =
        violations.check("gateway.agent_endpoint", agent_endpoint(&message.agent_endpoint));
    let address =
        violations.check("gateway.underlay_address", underlay_address(&message.underlay_address));
    Some(Gateway {
        key: key?,
        version: version?,
        agent_endpoint: endpoint?,
        underlay_address: address?,
    })
}

fn agent_endpoint(text: &str) -> Result<String, String> {
    let wanted = || "must have the form https://host:port".to_owned();
    if text.len() > ENDPOINT_BYTES {
        return Err(format!("must have at most {ENDPOINT_BYTES} bytes"));
    }
    let uri: Uri = text.parse().map_err(|_| wanted())?;
    let is_endpoint = matches!(uri.scheme_str(), Some("https" | "http"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.port_u16().is_some_and(|port| port > 0)
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    if is_endpoint { Ok(text.to_owned()) } else { Err(wanted()) }
}

pub(super) fn underlay_address(text: &str) -> Result<IpAddr, &'static str> {
    let address: IpAddr = text.parse().map_err(|_| "must be an IPv4 or IPv6 address")?;
    let is_unicast = !address.is_unspecified() && !address.is_multicast();
    if is_unicast { Ok(address) } else { Err("must be a unicast address") }
}

pub(super) fn slice(violations: &mut Violations, message: Option<&proto::Slice>) -> Option<Slice> {
    let message = present(violations, "slice", message)?;
    let name = name(violations, "slice.name", &message.name);
    let version = version(violations, "slice.version", message.version.as_ref());
    let clusters = clusters(violations, "slice.clusters", &message.clusters);
    let gateways = slice_gateways(violations, &message.gateways, clusters.as_deref());
    let links = slice_links(violations, &message.links, clusters.as_deref(), gateways.as_deref());
    let measurement = message.measurement.as_ref().map(Policy::read).transpose();
    let measurement = measurement.unwrap_or_else(|faults| {
        for fault in faults {
            violations.add(format!("slice.measurement.{}", fault.field), fault.description);
        }
        None
    });
    Some(Slice {
        name: name?,
        version: version?,
        clusters: clusters?,
        gateways: gateways?,
        links: links?,
        measurement,
    })
}

/// At least one, each once.
fn clusters(violations: &mut Violations, field: &str, texts: &[String]) -> Option<Vec<Name>> {
    if texts.is_empty() {
        violations.add(field, "must name at least one cluster");
        return None;
    }
    names(violations, field, texts)
}

/// Each once.
pub(super) fn names(
    violations: &mut Violations,
    field: &str,
    texts: &[String],
) -> Option<Vec<Name>> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let Some(parsed) = name(violations, &field, text) else { continue };
        if seen.insert(parsed.clone()) {
            names.push(parsed);
        } else {
            violations.add(field, "is listed twice");
        }
    }
    (names.len() == texts.len()).then_some(names)
}

fn slice_gateways(
    violations: &mut Violations,
    messages: &[proto::GatewayKey],
    clusters: Option<&[Name]>,
) -> Option<Vec<GatewayKey>> {
    let mut seen = BTreeSet::new();
    let mut gateways = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let field = format!("slice.gateways[{index}]");
        let Some(key) = gateway_key(violations, &field, Some(message)) else { continue };
        if clusters.is_some_and(|clusters| !clusters.contains(&key.cluster)) {
            violations.add(format!("{field}.cluster"), "must be a cluster of the slice");
        } else if seen.insert(key.clone()) {
            gateways.push(key);
        } else {
            violations.add(field, "is listed twice");
        }
    }
    (gateways.len() == messages.len()).then_some(gateways)
}

/// The links as listed; if none are, every cluster with every other.
fn slice_links(
    violations: &mut Violations,
    messages: &[proto::ClusterLink],
    clusters: Option<&[Name]>,
    gateways: Option<&[GatewayKey]>,
) -> Option<Vec<ClusterLink>> {
    if messages.is_empty() {
        return clusters.map(full_mesh);
    }
    let mut links: Vec<ClusterLink> = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let field = format!("slice.links[{index}]");
        let mut end = |side: &str, cluster: &str, node: &str| {
            let cluster_field = format!("{field}.cluster_{side}");
            let cluster = name(violations, &cluster_field, cluster);
            let node = match node {
                "" => Some(None),
                node => name(violations, &format!("{field}.gateway_{side}"), node).map(Some),
            };
            let end = ClusterEnd { cluster: cluster?, node: node? };
            if clusters.is_some_and(|clusters| !clusters.contains(&end.cluster)) {
                violations.add(cluster_field, "must be a cluster of the slice");
                return None;
            }
            let is_there = |all: &[GatewayKey]| all.iter().any(|gateway| end.is_at(gateway));
            if end.node.is_some() && gateways.is_some_and(|gateways| !is_there(gateways)) {
                let wanted = format!("must be a gateway of cluster {} in the slice", end.cluster);
                violations.add(format!("{field}.gateway_{side}"), wanted);
                return None;
            }
            Some(end)
        };
        let a = end("a", &message.cluster_a, &message.gateway_a);
        let b = end("b", &message.cluster_b, &message.gateway_b);
        let (Some(a), Some(b)) = (a, b) else { continue };
        let cost = NonZeroU32::new(message.cost).unwrap_or(NonZeroU32::MIN);
        match ClusterLink::between(a, b, cost) {
            None => violations.add(field, "must join two different clusters"),
            Some(link) if links.iter().any(|other| other.has_ends_of(&link)) => {
                violations.add(field, "is listed twice");
            }
            Some(link) => links.push(link),
        }
    }
    links.sort();
    (links.len() == messages.len()).then_some(links)
}

fn full_mesh(clusters: &[Name]) -> Vec<ClusterLink> {
    let pairs = clusters
        .iter()
        .enumerate()
        .flat_map(|(index, a)| clusters[index + 1..].iter().map(move |b| (a, b)));
    pairs.filter_map(|(a, b)| ClusterLink::between(a.clone(), b.clone(), NonZeroU32::MIN)).collect()
}

pub(super) fn network(
    violations: &mut Violations,
    message: Option<&proto::Network>,
) -> Option<Network> {
    let message = present(violations, "network", message)?;
    let key = network_key(violations, "network.key", message.key.as_ref());
    let version = version(violations, "network.version", message.version.as_ref());
    let clusters = clusters(violations, "network.clusters", &message.clusters);
    let cidr = cidr(violations, "network.cidr", &message.cidr);
    Some(Network { key: key?, version: version?, clusters: clusters?, cidr: cidr? })
}

/// A network's addresses or, with the empty text, none.
pub(super) fn cidr(violations: &mut Violations, field: &str, text: &str) -> Option<Option<IpNet>> {
    if text.is_empty() {
        return Some(None);
    }
    violations.check(field, addressing::parse_cidr(text)).map(Some)
}

pub(super) fn lease(
    violations: &mut Violations,
    message: &proto::LeaseBlockRequest,
) -> Option<LeaseRequest> {
    let network = network_key(violations, "network", message.network.as_ref());
    let cluster = name(violations, "cluster", &message.cluster);
    let mut known_blocks = Vec::with_capacity(message.known_blocks.len());
    for (index, text) in message.known_blocks.iter().enumerate() {
        let parsed = text.parse::<IpNet>().map_err(|_| "must be an address and a prefix length");
        known_blocks.extend(violations.check(&format!("known_blocks[{index}]"), parsed));
    }
    let address = address(violations, "address", &message.address);
    Some(LeaseRequest { network: network?, cluster: cluster?, known_blocks, address: address? })
}

/// The cluster, and the network of each handoff.
pub(super) fn confirmed_handoffs(
    violations: &mut Violations,
    message: &proto::ConfirmHandoffsRequest,
) -> Option<(Name, Vec<NetworkKey>)> {
    let cluster = name(violations, "cluster", &message.cluster);
    let networks = message.handoffs.iter().enumerate().map(|(index, handoff)| {
        network_key(violations, &format!("handoffs[{index}].network"), handoff.network.as_ref())
    });
    let networks: Option<Vec<_>> = networks.collect();
    Some((cluster?, networks?))
}

pub(super) fn release(
    violations: &mut Violations,
    message: &proto::ReleaseBlockRequest,
) -> Option<ReleaseRequest> {
    let network = network_key(violations, "network", message.network.as_ref());
    let cluster = name(violations, "cluster", &message.cluster);
    let block = violations.check("block", block(&message.block));
    Some(ReleaseRequest { network: network?, cluster: cluster?, block: block? })
}

fn block(text: &str) -> Result<IpNet, &'static str> {
    let block: IpNet = text.parse().map_err(|_| "must be an address and a prefix length")?;
    if block.trunc() == block { Ok(block) } else { Err("has bits set beyond its prefix") }
}

/// An address or, with the empty text, none.
fn address(violations: &mut Violations, field: &str, text: &str) -> Option<Option<IpAddr>> {
    if text.is_empty() {
        return Some(None);
    }
    let parsed = text.parse().map_err(|_| "must be an IPv4 or IPv6 address");
    violations.check(field, parsed).map(Some)
}

pub(super) fn endpoint(
    violations: &mut Violations,
    message: Option<&proto::Endpoint>,
) -> Option<Endpoint> {
    let message = present(violations, "endpoint", message)?;
    let key = endpoint_key(violations, "endpoint.key", message.key.as_ref());
    let mac = violations.check("endpoint.mac", MacAddress::parse_unicast(&message.mac));
    let address = address(violations, "endpoint.address", &message.address);
    let alias = (!message.alias.is_empty())
        .then(|| name(violations, "endpoint.alias", &message.alias))
        .flatten();
    let (key, mac, address) = (key?, mac?, address?);
    if let Some(learned) = key.learned {
        if learned != mac {
            violations.add("endpoint.key.learned_mac", "must be the same as mac, or empty");
        }
        if address.is_some() {
            violations.add("endpoint.address", "must be empty: a learned endpoint has none");
        }
        if alias.is_some() {
            violations.add("endpoint.alias", "must be empty: a learned endpoint has none");
        }
    }
    Some(Endpoint { key, mac, address, alias })
}
