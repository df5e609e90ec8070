use std::net::IpAddr;

use l2sces_model::{InterfaceName, MacAddress, Name};
use l2sces_proto::slice::v1 as api;

use super::{Described, Report, address, manager::manager};
use crate::domain::{Attachment, ClusterSpec, Key, NetworkSpec, PortSpec, SliceSpec};

/// Most bytes of a namespace's path.
const MAX_PATH: usize = 1_024;
/// Most addresses that may be learned behind a port.
const MAX_LEARNED: u16 = 1_024;
/// Name of the interface in a namespace where the client gives none.
const DEFAULT_INTERFACE: &str = "net1";
/// How the names of interfaces begin that the agents make, and the names of their bridges.
const OURS: [&str; 5] = ["l2p-", "l2v-", "l2t-", "br-sps", "br-ned"];

/// The port that a client describes.
///
/// # Errors
/// Everything that is wrong with it, as far as it can be told from itself.
pub fn port(message: Option<&api::Port>) -> Result<Described<PortSpec>, Report> {
    let mut report = Report::default();
    let Some(message) = message else {
        return Err(Report::of("port", "must be set"));
    };
    let metadata = message.metadata.clone().unwrap_or_default();
    let name = report.check("port.metadata.name", metadata.name.parse::<Name>());
    let managed_by = manager(&mut report, "port.metadata.managed_by", metadata.managed_by);
    let slice = report.check("port.slice", message.slice.parse::<Name>());
    let network = report.check("port.network", message.network.parse::<Name>());
    let Some(spec) = &message.spec else {
        report.add("port.spec", "must be set");
        return Err(report);
    };
    let cluster = report.check("port.spec.cluster", spec.cluster.parse::<Name>());
    let node = report.check("port.spec.node", spec.node.parse::<Name>());
    let attachment = attachment(&mut report, spec);
    let mac = match spec.mac.as_str() {
        "" => {
            if matches!(attachment, Some(Attachment::Interface { .. })) {
                report.add("port.spec.mac", "must be set for an interface that exists");
            }
            None
        }
        text => report.check("port.spec.mac", MacAddress::parse_unicast(text)),
    };
    let address = match spec.address.as_str() {
        "" => None,
        text => report.check(
            "port.spec.address",
            text.parse::<IpAddr>().map_err(|_| "must be an IP address"),
        ),
    };
    let max_learned = u16::try_from(spec.max_learned_addresses).ok();
    let max_learned = report.check(
        "port.spec.max_learned_addresses",
        max_learned.filter(|max| *max <= MAX_LEARNED).ok_or("must be at most 1024"),
    );
    let described = || {
        Some(Described {
            key: Key::Port { slice: slice?, network: network?, name: name? },
            spec: PortSpec {
                cluster: cluster?,
                node: node?,
                attachment: attachment?,
                mac,
                address,
                max_learned: max_learned?,
            },
            etag: metadata.etag,
            managed_by,
        })
    };
    report.finish(described())
}

fn attachment(report: &mut Report, spec: &api::PortSpec) -> Option<Attachment> {
    match &spec.attachment {
        None => {
            report.add("port.spec.attachment", "one of namespace and interface must be set");
            None
        }
        Some(api::port_spec::Attachment::Namespace(namespace)) => {
            let path = report.check("port.spec.namespace.path", namespace_path(&namespace.path));
            let interface = match namespace.interface_name.as_str() {
                "" => DEFAULT_INTERFACE,
                name => name,
            };
            let interface = report
                .check("port.spec.namespace.interface_name", interface.parse::<InterfaceName>());
            Some(Attachment::Namespace { path: path?, interface_name: interface? })
        }
        Some(api::port_spec::Attachment::Interface(interface)) => {
            let name = report
                .check("port.spec.interface.name", interface.name.parse::<InterfaceName>())?;
            if OURS.iter().any(|ours| name.as_str().starts_with(ours)) {
                report.add("port.spec.interface.name", "must not be an interface of l2sces itself");
            }
            Some(Attachment::Interface { name })
        }
    }
}

fn namespace_path(path: &str) -> Result<String, &'static str> {
    if path.is_empty() {
        Err("must not be empty")
    } else if path.len() > MAX_PATH {
        Err("must have at most 1024 bytes")
    } else if !path.starts_with('/') || path.ends_with('/') {
        Err("must be the absolute path of a file")
    } else if path.chars().any(char::is_control) {
        Err("must have no control characters")
    } else if path.split('/').any(|part| part == ".." || part == ".") {
        Err("must not contain '.' or '..' as a part")
    } else {
        Ok(path.to_owned())
    }
}

/// Checks a port against its slice, network and cluster (none: there is no such cluster).
///
/// # Errors
/// Everything that it refers to and that is not there.
pub fn port_references(
    spec: &PortSpec,
    slice: &SliceSpec,
    network: &NetworkSpec,
    cluster: Option<&ClusterSpec>,
) -> Result<(), Report> {
    let mut report = Report::default();
    let part =
        slice.cluster(&spec.cluster).filter(|_| network.spanned(slice).contains(&&spec.cluster));
    match (part, cluster) {
        (Some(part), Some(cluster)) => {
            if !part.members(cluster).iter().any(|node| node.name == spec.node) {
                let description =
                    format!("no such node of cluster '{}' in the slice", spec.cluster);
                report.add("port.spec.node", description);
            }
        }
        (_, None) => report.add("port.spec.cluster", "no such cluster"),
        (None, Some(_)) => report.add("port.spec.cluster", "no such cluster in the network"),
    }
    match (spec.address, network.cidr) {
        (Some(address), Some(cidr)) => {
            report.check("port.spec.address", address::in_network(address, cidr));
        }
        (Some(_), None) => {
            report.add("port.spec.address", "must be empty: the network has no CIDR");
        }
        (None, _) => {}
    }
    report.finish(Some(()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use l2sces_proto::resource::v1::Metadata;

    use super::*;
    use crate::domain::Driver;
    use crate::domain::{NetworkType, Node, SliceCluster};

    fn good() -> api::Port {
        api::Port {
            metadata: Some(Metadata { name: "p".to_owned(), ..Metadata::default() }),
            slice: "s".to_owned(),
            network: "n".to_owned(),
            spec: Some(api::PortSpec {
                cluster: "a".to_owned(),
                node: "n1".to_owned(),
                attachment: Some(namespace("/run/netns/p", "")),
                mac: "02:00:00:00:00:01".to_owned(),
                address: "10.1.0.2".to_owned(),
                max_learned_addresses: 1_024,
            }),
            status: None,
        }
    }

    fn namespace(path: &str, interface: &str) -> api::port_spec::Attachment {
        api::port_spec::Attachment::Namespace(api::NamespaceAttachment {
            path: path.to_owned(),
            interface_name: interface.to_owned(),
        })
    }

    fn interface(name: &str) -> api::port_spec::Attachment {
        api::port_spec::Attachment::Interface(api::InterfaceAttachment { name: name.to_owned() })
    }

    fn fields(result: Result<impl Sized, Report>) -> Vec<String> {
        let report = result.err().unwrap_or_default();
        report.violations().iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn accepts_good_ports_and_fills_in_the_interface() {
        let described = port(Some(&good())).unwrap();
        let Attachment::Namespace { interface_name, .. } = described.spec.attachment else {
            panic!("{:?}", described.spec)
        };
        assert_eq!(interface_name.as_str(), "net1");
        assert_eq!(described.spec.max_learned, 1_024);
        let mut message = good();
        message.spec.as_mut().unwrap().attachment = Some(interface("tap0"));
        assert_eq!(fields(port(Some(&message))), [""; 0]);
    }

    #[test]
    fn names_every_field_that_is_wrong() {
        type Spoil = fn(&mut api::PortSpec);
        let cases: &[(Spoil, &[&str])] = &[
            (|s| s.cluster = String::new(), &["port.spec.cluster"]),
            (|s| s.node = "N".to_owned(), &["port.spec.node"]),
            (|s| s.attachment = None, &["port.spec.attachment"]),
            (|s| s.attachment = Some(namespace("", "")), &["port.spec.namespace.path"]),
            (|s| s.attachment = Some(namespace("run/x", "")), &["port.spec.namespace.path"]),
            (|s| s.attachment = Some(namespace("/run/../x", "")), &["port.spec.namespace.path"]),
            (|s| s.attachment = Some(namespace("/run/", "")), &["port.spec.namespace.path"]),
            (|s| s.attachment = Some(namespace("/run/\0", "")), &["port.spec.namespace.path"]),
            (
                |s| s.attachment = Some(namespace("/x", "sixteen-bytes-xx")),
                &["port.spec.namespace.interface_name"],
            ),
            (|s| s.attachment = Some(interface("a/b")), &["port.spec.interface.name"]),
            (|s| s.attachment = Some(interface("l2p-0")), &["port.spec.interface.name"]),
            (
                |s| {
                    s.attachment = Some(interface("tap0"));
                    s.mac = String::new();
                },
                &["port.spec.mac"],
            ),
            (|s| s.mac = "01:00:00:00:00:01".to_owned(), &["port.spec.mac"]),
            (|s| s.mac = "00:00:00:00:00:00".to_owned(), &["port.spec.mac"]),
            (|s| s.mac = "x".to_owned(), &["port.spec.mac"]),
            (|s| s.address = "10.1.0.2/24".to_owned(), &["port.spec.address"]),
            (|s| s.max_learned_addresses = 1_025, &["port.spec.max_learned_addresses"]),
            (|s| s.max_learned_addresses = 65_536, &["port.spec.max_learned_addresses"]),
        ];
        for (spoil, expected) in cases {
            let mut message = good();
            spoil(message.spec.as_mut().unwrap());
            assert_eq!(fields(port(Some(&message))), *expected, "{:?}", message.spec);
        }
        let empty = api::Port::default();
        assert_eq!(
            fields(port(Some(&empty))),
            ["port.metadata.name", "port.slice", "port.network", "port.spec"]
        );
        assert_eq!(fields(port(None)), ["port"]);
    }

    #[test]
    fn checks_what_it_refers_to() {
        let part = |cluster: &str| SliceCluster {
            cluster: cluster.parse().unwrap(),
            nodes: Vec::new(),
            links: Vec::new(),
            transit_labels: BTreeMap::new(),
        };
        let slice = SliceSpec {
            clusters: vec![part("a"), part("b")],
            links: Vec::new(),
            measurement: None,
            clusters_generation: 1,
        };
        let node = |name: &str| Node {
            name: name.parse().unwrap(),
            underlay: "10.0.0.1".parse().unwrap(),
            agent: "https://a:1".parse().ok(),
            gateway: None,
            labels: BTreeMap::new(),
            generation: 1,
        };
        let cluster = ClusterSpec {
            driver: Driver::Direct("https://c:1".parse().unwrap()),
            nodes: vec![node("n1")],
        };
        let check = |cluster: Option<&ClusterSpec>, name: &str, node: &str, only_b, cidr: &str| {
            let mut message = good();
            let spec = message.spec.as_mut().unwrap();
            name.clone_into(&mut spec.cluster);
            node.clone_into(&mut spec.node);
            let clusters = if only_b { vec!["b".parse().unwrap()] } else { Vec::new() };
            let network =
                NetworkSpec { clusters, r#type: NetworkType::Vnet, cidr: cidr.parse().ok() };
            fields(port_references(&port(Some(&message)).unwrap().spec, &slice, &network, cluster))
        };
        let some = Some(&cluster);
        assert_eq!(check(some, "a", "n1", false, "10.1.0.0/24"), [""; 0]);
        assert_eq!(check(None, "x", "n1", false, "10.1.0.0/24"), ["port.spec.cluster"]);
        assert_eq!(check(some, "c", "n1", false, "10.1.0.0/24"), ["port.spec.cluster"]);
        assert_eq!(check(some, "a", "n1", true, "10.1.0.0/24"), ["port.spec.cluster"]);
        assert_eq!(check(some, "a", "n9", false, "10.1.0.0/24"), ["port.spec.node"]);
        assert_eq!(check(some, "a", "n1", false, ""), ["port.spec.address"]);
        assert_eq!(
            check(some, "a", "n9", false, "10.2.0.0/24"),
            ["port.spec.node", "port.spec.address"]
        );
    }
}
