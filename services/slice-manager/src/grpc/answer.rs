//! Resources as the API shows them.

use chrono::{DateTime, Utc};
use l2sces_model::Name;
use l2sces_proto::{resource::v1 as resource, slice::v1 as api};
use prost_types::Timestamp;

use crate::domain::{
    Attachment, Cluster, Condition, DriftPolicy, Driver, Endpoint, KubernetesDriver, Link, Meta,
    Network, NetworkType, Port, Resource, Slice, Stored, Truth,
};

/// A resource's message.
pub(super) trait Shown: Resource {
    /// The message.
    type Message: Send + 'static;

    /// The resource as it is.
    fn show(stored: &Stored<Self>) -> Self::Message
    where
        Self: Sized;

    /// The resource when it is gone: its names and metadata.
    fn show_gone(meta: &Meta) -> Self::Message;
}

impl Shown for Cluster {
    type Message = api::Cluster;

    fn show(stored: &Stored<Self>) -> api::Cluster {
        let spec = &stored.spec;
        let node = |node: &crate::domain::Node| api::Node {
            name: node.name.to_string(),
            underlay_address: node.underlay.to_string(),
            agent_endpoint: endpoint(node.agent.as_ref()),
            gateway: node.gateway.as_ref().map(|gateway| api::Gateway {
                agent_endpoint: endpoint(gateway.agent.as_ref()),
                underlay_address: gateway.underlay.to_string(),
            }),
            labels: node.labels.clone(),
        };
        let nodes = stored.status.detail.nodes.iter().map(|status| api::NodeStatus {
            node: status.node.to_string(),
            ready: status.ready,
            message: status.message.clone(),
        });
        api::Cluster {
            metadata: Some(metadata(&stored.meta)),
            spec: Some(api::ClusterSpec {
                driver: Some(driver(&spec.driver)),
                nodes: spec.nodes.iter().map(node).collect(),
            }),
            status: Some(api::ClusterStatus {
                conditions: conditions(stored),
                nodes: nodes.collect(),
            }),
        }
    }

    fn show_gone(meta: &Meta) -> api::Cluster {
        api::Cluster { metadata: Some(metadata(meta)), ..api::Cluster::default() }
    }
}

impl Shown for Slice {
    type Message = api::Slice;

    fn show(stored: &Stored<Self>) -> api::Slice {
        let parts = stored.spec.clusters.iter().map(|part| api::SliceCluster {
            cluster: part.cluster.to_string(),
            nodes: part.nodes.iter().map(ToString::to_string).collect(),
            links: links(&part.links),
            transit_labels: part.transit_labels.clone(),
        });
        api::Slice {
            metadata: Some(metadata(&stored.meta)),
            spec: Some(api::SliceSpec {
                clusters: parts.collect(),
                links: links(&stored.spec.links),
                measurement: stored.spec.measurement.as_ref().map(Into::into),
            }),
            status: Some(api::SliceStatus { conditions: conditions(stored) }),
        }
    }

    fn show_gone(meta: &Meta) -> api::Slice {
        api::Slice { metadata: Some(metadata(meta)), ..api::Slice::default() }
    }
}

impl Shown for Network {
    type Message = api::Network;

    fn show(stored: &Stored<Self>) -> api::Network {
        let spec = &stored.spec;
        let r#type = match spec.r#type {
            NetworkType::Vnet => api::NetworkType::Vnet,
        };
        let pods = stored.status.detail.pods.iter().map(|(cluster, attached)| api::ClusterPods {
            cluster: cluster.to_string(),
            attached: *attached,
        });
        api::Network {
            metadata: Some(metadata(&stored.meta)),
            slice: stored.meta.key.slice().to_owned(),
            spec: Some(api::NetworkSpec {
                clusters: spec.clusters.iter().map(ToString::to_string).collect(),
                r#type: r#type.into(),
                cidr: spec.cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
            }),
            status: Some(api::NetworkStatus {
                conditions: conditions(stored),
                vni: stored.status.detail.vni,
                mtu: stored.status.detail.mtu,
                pods: pods.collect(),
            }),
        }
    }

    fn show_gone(meta: &Meta) -> api::Network {
        api::Network {
            metadata: Some(metadata(meta)),
            slice: meta.key.slice().to_owned(),
            ..api::Network::default()
        }
    }
}

impl Shown for Port {
    type Message = api::Port;

    fn show(stored: &Stored<Self>) -> api::Port {
        let spec = &stored.spec;
        let attachment = match &spec.attachment {
            Attachment::Namespace { path, interface_name } => {
                api::port_spec::Attachment::Namespace(api::NamespaceAttachment {
                    path: path.clone(),
                    interface_name: interface_name.to_string(),
                })
            }
            Attachment::Interface { name } => {
                api::port_spec::Attachment::Interface(api::InterfaceAttachment {
                    name: name.to_string(),
                })
            }
        };
        let detail = &stored.status.detail;
        let conflict = detail.conflict.as_ref().map(|found| condition("AddressConflict", found));
        api::Port {
            spec: Some(api::PortSpec {
                cluster: spec.cluster.to_string(),
                node: spec.node.to_string(),
                attachment: Some(attachment),
                mac: spec.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                address: spec.address.map(|address| address.to_string()).unwrap_or_default(),
                max_learned_addresses: spec.max_learned.into(),
            }),
            status: Some(api::PortStatus {
                conditions: conditions(stored).into_iter().chain(conflict).collect(),
                mac: detail.mac.clone(),
                address: detail.address.clone(),
                interface_name: detail.interface_name.clone(),
                learned_macs: detail.learned_macs.clone(),
            }),
            ..Self::show_gone(&stored.meta)
        }
    }

    fn show_gone(meta: &Meta) -> api::Port {
        api::Port {
            metadata: Some(metadata(meta)),
            slice: meta.key.slice().to_owned(),
            network: meta.key.network().to_owned(),
            ..api::Port::default()
        }
    }
}

/// A driver without its credentials, which nobody is shown.
fn driver(driver: &Driver) -> api::cluster_spec::Driver {
    match driver {
        Driver::Direct(endpoint) => api::cluster_spec::Driver::Direct(api::DirectDriver {
            controller_endpoint: endpoint.to_string(),
        }),
        Driver::Kubernetes(KubernetesDriver { server, .. }) => {
            let drift_policy = match server.drift {
                DriftPolicy::Mend => api::DriftPolicy::Mend,
                DriftPolicy::Report => api::DriftPolicy::Report,
            };
            api::cluster_spec::Driver::Kubernetes(api::KubernetesDriver {
                api_endpoint: server.endpoint.to_string(),
                ca_pem: server.ca_pem.clone(),
                namespace: server.namespace.to_string(),
                drift_policy: drift_policy.into(),
                ..api::KubernetesDriver::default()
            })
        }
    }
}

fn endpoint(endpoint: Option<&Endpoint>) -> String {
    endpoint.map(ToString::to_string).unwrap_or_default()
}

fn links(links: &[Link]) -> Vec<api::Link> {
    let gateway = |name: &Option<Name>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let show = |link: &Link| api::Link {
        endpoint_a: link.a.to_string(),
        endpoint_b: link.b.to_string(),
        cost: link.cost.into(),
        gateway_a: gateway(&link.gateway_a),
        gateway_b: gateway(&link.gateway_b),
    };
    links.iter().map(show).collect()
}

fn metadata(meta: &Meta) -> resource::Metadata {
    resource::Metadata {
        name: meta.key.name().to_string(),
        uid: meta.uid.to_string(),
        generation: meta.generation,
        revision: meta.revision,
        etag: meta.etag(),
        create_time: Some(timestamp(meta.create_time)),
        delete_time: meta.delete_time.map(timestamp),
        managed_by: meta.managed_by.clone(),
    }
}

fn conditions<R: Resource>(stored: &Stored<R>) -> Vec<resource::Condition> {
    vec![condition("Ready", &stored.status.ready)]
}

fn condition(r#type: &str, condition: &Condition) -> resource::Condition {
    let Condition { status, reason, message, observed_generation, last_transition_time } =
        condition;
    let status = match status {
        Truth::True => resource::ConditionStatus::True,
        Truth::False => resource::ConditionStatus::False,
        Truth::Unknown => resource::ConditionStatus::Unknown,
    };
    resource::Condition {
        r#type: r#type.to_owned(),
        status: status.into(),
        reason: reason.clone(),
        message: message.clone(),
        observed_generation: *observed_generation,
        last_transition_time: Some(timestamp(*last_transition_time)),
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    // A time has less than 2^31 nanoseconds beyond its second, leap seconds included.
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default();
    Timestamp { seconds: time.timestamp(), nanos }
}
