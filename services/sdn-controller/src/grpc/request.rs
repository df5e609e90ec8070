//! Messages to domain values: everything that is wrong with a request is found before anything is
//! done about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use l2sces_grpc::Violations;
use l2sces_measurement::Policy;
use l2sces_model::{HostAddress, InterfaceName, MacAddress, Name, Vni};
use l2sces_proto::fabric::v1::{
    ApplyNetworkRequest, ApplyNodeRequest, ApplyPortRequest, ApplySliceRequest, DeletePortRequest,
    ListPortsRequest, NetworkKey as ProtoNetworkKey, NodeLink, Port as ProtoPort,
    Version as ProtoVersion, port,
};
use tonic::Status;

use super::violation;
use crate::{
    domain::{
        Attachment, DEFAULT_COST, Link, Links, NetworkKey, NetworkSpec, NodeSpec, PortKey,
        PortSpec, SliceSpec, Version,
    },
    store::{PortCondition, PortFilter},
};

/// Longest uid, in bytes.
const LONGEST_UID: usize = 128;
/// Longest attachment id, in bytes.
const LONGEST_ATTACHMENT_ID: usize = 128;
/// Most addresses that may be learned behind a port.
const MOST_LEARNED: u16 = 1_024;
/// Longest path, without the byte that ends it (Linux, PATH_MAX).
const LONGEST_PATH: usize = 4095;
/// Prefixes of the names of interfaces that agents make.
const OWN_INTERFACES: [&str; 3] = ["l2p-", "l2v-", "l2t-"];

pub(super) fn node(
    request: ApplyNodeRequest,
    check_endpoint: impl FnOnce(&str) -> Result<(), String>,
) -> Result<NodeSpec, Status> {
    let node = request.node.ok_or_else(|| missing("node"))?;
    let mut violations = Violations::new();
    let name = violations.check("node.name", node.name.parse());
    let version = version(&mut violations, "node.version", node.version);
    let underlay_address =
        violations.check("node.underlay_address", host_address(&node.underlay_address));
    violations.check("node.agent_endpoint", check_endpoint(&node.agent_endpoint));
    finish(violations, || {
        Some(NodeSpec {
            name: name?,
            version: version?,
            underlay_address: underlay_address?,
            agent_endpoint: node.agent_endpoint,
            gateway: node.gateway,
        })
    })
}

pub(super) fn slice(request: ApplySliceRequest) -> Result<SliceSpec, Status> {
    let slice = request.slice.ok_or_else(|| missing("slice"))?;
    let mut violations = Violations::new();
    let name = violations.check("slice.name", slice.name.parse());
    let version = version(&mut violations, "slice.version", slice.version);
    let mut nodes = BTreeSet::new();
    if slice.nodes.is_empty() {
        violations.add("slice.nodes", "must have at least one node");
    }
    for (i, node) in slice.nodes.iter().enumerate() {
        let field = format!("slice.nodes[{i}]");
        if let Some(node) = violations.check::<Name, _>(&field, node.parse())
            && !nodes.insert(node)
        {
            violations.add(field, format!("must not list {node:?} again", node = slice.nodes[i]));
        }
    }
    let links = links(&mut violations, &slice.links, &nodes);
    let avoid_transit = avoid_transit(&mut violations, &slice.avoid_transit, &nodes);
    let measurement = slice.measurement.as_ref().map(Policy::read).transpose();
    let measurement = measurement.unwrap_or_else(|faults| {
        for fault in faults {
            violations.add(format!("slice.measurement.{}", fault.field), fault.description);
        }
        None
    });
    finish(violations, || {
        Some(SliceSpec {
            name: name?,
            version: version?,
            nodes: nodes.into_iter().collect(),
            links,
            avoid_transit,
            measurement,
        })
    })
}

fn links(violations: &mut Violations, links: &[NodeLink], nodes: &BTreeSet<Name>) -> Links {
    let mut pairs = BTreeMap::new();
    for (i, link) in links.iter().enumerate() {
        let field = format!("slice.links[{i}]");
        let mut end = |side: &str, text: &str| -> Option<Name> {
            let field = format!("{field}.{side}");
            let name: Name = violations.check(&field, text.parse())?;
            if !nodes.contains(&name) {
                violations.add(field, "must be one of slice.nodes");
            }
            Some(name)
        };
        let (Some(a), Some(b)) = (end("node_a", &link.node_a), end("node_b", &link.node_b)) else {
            continue;
        };
        let Some(cost) = violations.check(&format!("{field}.cost"), cost(link.cost)) else {
            continue;
        };
        if a == b {
            violations.add(field, "must have two different ends");
        } else if pairs.insert(if a < b { (a, b) } else { (b, a) }, cost).is_some() {
            violations.add(field, "must not be listed twice");
        }
    }
    if links.is_empty() {
        return Links::FullMesh;
    }
    Links::Listed(pairs.into_iter().map(|((a, b), cost)| Link { a, b, cost }).collect())
}

fn cost(cost: u32) -> Result<u16, String> {
    match u16::try_from(cost) {
        Ok(0) => Ok(DEFAULT_COST),
        Ok(cost) => Ok(cost),
        Err(_) => Err(format!("must be from 1 to {}, or 0 for {DEFAULT_COST}", u16::MAX)),
    }
}

fn avoid_transit(
    violations: &mut Violations,
    texts: &[String],
    nodes: &BTreeSet<Name>,
) -> BTreeSet<Name> {
    let mut avoided = BTreeSet::new();
    for (i, text) in texts.iter().enumerate() {
        let field = format!("slice.avoid_transit[{i}]");
        let Some(name) = violations.check::<Name, _>(&field, text.parse()) else { continue };
        if !nodes.contains(&name) {
            violations.add(field, "must be one of slice.nodes");
        }
        avoided.insert(name);
    }
    avoided
}

pub(super) fn network(request: ApplyNetworkRequest) -> Result<NetworkSpec, Status> {
    let network = request.network.ok_or_else(|| missing("network"))?;
    let mut violations = Violations::new();
    let slice = violations.check("network.slice", network.slice.parse());
    let name = violations.check("network.name", network.name.parse());
    let version = version(&mut violations, "network.version", network.version);
    let vni = violations.check("network.vni", Vni::try_from(network.vni));
    let cidr = violations.check("network.cidr", cidr(&network.cidr));
    let mtu = violations.check("network.mtu", mtu(network.mtu, cidr.flatten()));
    finish(violations, || {
        Some(NetworkSpec {
            key: NetworkKey { slice: slice?, name: name? },
            version: version?,
            vni: vni?,
            cidr: cidr?,
            mtu: mtu?,
        })
    })
}

pub(super) fn port(request: ApplyPortRequest) -> Result<PortSpec, Status> {
    let port = request.port.ok_or_else(|| missing("port"))?;
    let mut violations = Violations::new();
    let slice = violations.check("port.slice", port.slice.parse());
    let network = violations.check("port.network", port.network.parse());
    let name = violations.check("port.name", port.name.parse());
    let version = version(&mut violations, "port.version", port.version.clone());
    let node = violations.check("port.node", port.node.parse());
    let attachment = attachment(&mut violations, &port);
    let mac = optional(&mut violations, "port.mac", &port.mac, MacAddress::parse_unicast);
    let address =
        optional(&mut violations, "port.address", &port.address, str::parse::<HostAddress>);
    let alias = optional(&mut violations, "port.alias", &port.alias, str::parse::<Name>);
    let max_learned = max_learned(port.max_learned_addresses);
    let max_learned = violations.check("port.max_learned_addresses", max_learned);
    finish(violations, || {
        Some(PortSpec {
            key: PortKey { slice: slice?, network: network?, name: name? },
            version: version?,
            node: node?,
            attachment: attachment?,
            mac,
            address: address.map(HostAddress::address),
            prefix_len: address.and_then(HostAddress::prefix_len),
            alias,
            max_learned: max_learned?,
        })
    })
}

fn attachment(violations: &mut Violations, port: &ProtoPort) -> Option<Attachment> {
    match &port.attachment {
        None => {
            violations.add("port.attachment", "must be a namespace or an interface");
            None
        }
        Some(port::Attachment::Namespace(namespace)) => {
            let path = violations.check("port.namespace.path", path(&namespace.path));
            let name = namespace.interface_name.parse();
            let name = violations.check("port.namespace.interface_name", name);
            let id = attachment_id(&namespace.attachment_id);
            let id = violations.check("port.namespace.attachment_id", id);
            Some(Attachment::Namespace { path: path?, interface_name: name?, id: id? })
        }
        Some(port::Attachment::Interface(interface)) => {
            if port.mac.is_empty() {
                violations.add("port.mac", "must be given for an interface that exists");
            }
            let name = violations.check("port.interface.name", foreign_interface(&interface.name));
            Some(Attachment::Interface { name: name? })
        }
    }
}

pub(super) fn name(text: &str) -> Result<Name, Status> {
    text.parse().map_err(|error: l2sces_model::NameError| violation("name", error.to_string()))
}

pub(super) fn slice_name(text: &str) -> Result<Name, Status> {
    text.parse().map_err(|error: l2sces_model::NameError| violation("slice", error.to_string()))
}

pub(super) fn network_key(key: Option<ProtoNetworkKey>) -> Result<NetworkKey, Status> {
    let key = key.ok_or_else(|| missing("key"))?;
    let mut violations = Violations::new();
    let slice = violations.check("key.slice", key.slice.parse());
    let name = violations.check("key.name", key.name.parse());
    finish(violations, || Some(NetworkKey { slice: slice?, name: name? }))
}

/// The key of a port to be deleted, and the attachment id that it must have, if any.
pub(super) fn port_removal(request: DeletePortRequest) -> Result<(PortKey, PortCondition), Status> {
    let key = request.key.ok_or_else(|| missing("key"))?;
    let mut violations = Violations::new();
    let slice = violations.check("key.slice", key.slice.parse());
    let network = violations.check("key.network", key.network.parse());
    let name = violations.check("key.name", key.name.parse());
    let id = violations.check("attachment_id", attachment_id(&request.attachment_id));
    let generation = request.generation;
    if generation < 0 {
        violations.add("generation", "must be 0 or more");
    }
    finish(violations, || {
        let key = PortKey { slice: slice?, network: network?, name: name? };
        let condition = PortCondition {
            attachment_id: id.filter(|id| !id.is_empty()),
            generation: Some(generation).filter(|generation| *generation > 0),
        };
        Some((key, condition))
    })
}

/// Which ports are to be listed.
pub(super) fn port_filter(request: &ListPortsRequest) -> Result<PortFilter, Status> {
    let mut violations = Violations::new();
    let node = optional(&mut violations, "node", &request.node, str::parse::<Name>);
    let id = violations.check("attachment_id", attachment_id(&request.attachment_id));
    finish(violations, || {
        Some(PortFilter { node, attachment_id: Some(id?).filter(|id| !id.is_empty()) })
    })
}

fn missing(field: &str) -> Status {
    violation(field, "must be given")
}

/// The value, if nothing is wrong; every part that is missing has a violation.
fn finish<T>(violations: Violations, value: impl FnOnce() -> Option<T>) -> Result<T, Status> {
    violations.into_result()?;
    value().ok_or_else(|| Status::internal("a part of the request got lost"))
}

fn version(
    violations: &mut Violations,
    field: &str,
    version: Option<ProtoVersion>,
) -> Option<Version> {
    let Some(version) = version else {
        violations.add(field, "must be given");
        return None;
    };
    if version.uid.is_empty() || version.uid.len() > LONGEST_UID || version.uid.contains('\0') {
        let field = format!("{field}.uid");
        violations.add(field, format!("must have 1 to {LONGEST_UID} bytes, none of them zero"));
    }
    if version.generation < 1 {
        violations.add(format!("{field}.generation"), "must be 1 or more");
    }
    Some(Version { uid: version.uid, generation: version.generation })
}

fn optional<T, E: ToString>(
    violations: &mut Violations,
    field: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    violations.check(field, parse(text).map_err(|error| error.to_string()))
}

fn host_address(text: &str) -> Result<IpAddr, &'static str> {
    let address: HostAddress = text.parse().map_err(|_| "must be an IP address of a host")?;
    match address.prefix_len() {
        None => Ok(address.address()),
        Some(_) => Err("must have no prefix length"),
    }
}

fn cidr(text: &str) -> Result<Option<IpNet>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let net: IpNet =
        text.parse().map_err(|_| "must be a CIDR such as 10.1.0.0/24, or empty".to_owned())?;
    if net.trunc() != net {
        return Err(format!("must not have host bits: {} is meant, perhaps", net.trunc()));
    }
    if net.addr().is_multicast() || net.prefix_len() == 0 {
        return Err("must be a block of unicast addresses".to_owned());
    }
    Ok(Some(net))
}

/// The least is what IP asks of a link (RFC 791; RFC 8200, section 5).
fn mtu(mtu: u32, cidr: Option<IpNet>) -> Result<u16, String> {
    let least = if matches!(cidr, Some(IpNet::V6(_))) { 1280 } else { 68 };
    let in_range = u16::try_from(mtu).ok().filter(|mtu| *mtu >= least);
    in_range.ok_or_else(|| format!("must be from {least} to {} bytes, not {mtu}", u16::MAX))
}

fn max_learned(number: u32) -> Result<u16, String> {
    let allowed = u16::try_from(number).ok().filter(|number| *number <= MOST_LEARNED);
    allowed.ok_or_else(|| format!("must be at most {MOST_LEARNED}"))
}

fn attachment_id(text: &str) -> Result<String, String> {
    if text.len() > LONGEST_ATTACHMENT_ID || text.contains('\0') {
        return Err(format!("must have at most {LONGEST_ATTACHMENT_ID} bytes, none of them zero"));
    }
    Ok(text.to_owned())
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || text.len() > LONGEST_PATH || text.contains('\0') {
        return Err(format!(
            "must be an absolute path of at most {LONGEST_PATH} bytes, none of them zero"
        ));
    }
    Ok(text.to_owned())
}

/// An interface that is somebody else's.
fn foreign_interface(text: &str) -> Result<InterfaceName, String> {
    let name: InterfaceName =
        text.parse().map_err(|error: l2sces_model::InterfaceNameError| error.to_string())?;
    match OWN_INTERFACES.iter().find(|prefix| text.starts_with(**prefix)) {
        Some(prefix) => Err(format!("must not begin with {prefix}, as the agents' own do")),
        None => Ok(name),
    }
}
