//! Good requests, to be spoilt.

use l2sces_proto::{resource::v1::Metadata, slice::v1 as api};

pub(crate) fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Metadata::default() })
}

/// A cluster of `n1`, a gateway, and `n2`.
pub(crate) fn cluster(name: &str, controller: &str) -> api::Cluster {
    let gateway = api::Gateway {
        agent_endpoint: format!("http://{name}.example:1"),
        underlay_address: "10.0.0.1".to_owned(),
    };
    api::Cluster {
        metadata: named(name),
        spec: Some(api::ClusterSpec {
            driver: Some(api::cluster_spec::Driver::Direct(api::DirectDriver {
                controller_endpoint: controller.to_owned(),
            })),
            nodes: vec![node("n1", 1, Some(gateway)), node("n2", 2, None)],
        }),
        status: None,
    }
}

pub(crate) fn node(name: &str, last: u8, gateway: Option<api::Gateway>) -> api::Node {
    api::Node {
        name: name.to_owned(),
        underlay_address: format!("10.0.0.{last}"),
        agent_endpoint: format!("http://10.0.0.{last}:50053"),
        gateway,
        labels: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn slice(name: &str, clusters: &[&str]) -> api::Slice {
    let part = |cluster: &&str| api::SliceCluster {
        cluster: (*cluster).to_owned(),
        ..api::SliceCluster::default()
    };
    api::Slice {
        metadata: named(name),
        spec: Some(api::SliceSpec {
            clusters: clusters.iter().map(part).collect(),
            links: Vec::new(),
            measurement: None,
        }),
        status: None,
    }
}

pub(crate) fn network(slice: &str, name: &str) -> api::Network {
    api::Network {
        metadata: named(name),
        slice: slice.to_owned(),
        spec: Some(api::NetworkSpec {
            cidr: "10.1.0.0/24".to_owned(),
            ..api::NetworkSpec::default()
        }),
        status: None,
    }
}

pub(crate) fn port(slice: &str, network: &str, name: &str, cluster: &str, node: &str) -> api::Port {
    api::Port {
        metadata: named(name),
        slice: slice.to_owned(),
        network: network.to_owned(),
        spec: Some(api::PortSpec {
            cluster: cluster.to_owned(),
            node: node.to_owned(),
            attachment: Some(api::port_spec::Attachment::Namespace(api::NamespaceAttachment {
                path: format!("/run/netns/{slice}-{network}-{name}"),
                interface_name: String::new(),
            })),
            mac: String::new(),
            max_learned_addresses: 0,
            address: String::new(),
        }),
        status: None,
    }
}
