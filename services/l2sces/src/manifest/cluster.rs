use std::collections::BTreeMap;

use l2sces_proto::slice::v1::{self, cluster_spec::Driver};
use serde::{Deserialize, Serialize};

use super::{
    Kind,
    envelope::{Condition, Metadata, OutputOnly, each, is_default},
};

/// A cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterManifest {
    kind: Kind,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default, skip_serializing_if = "OutputOnly::is_none")]
    status: OutputOnly<Status>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    direct: Option<Direct>,
    #[serde(default, skip_serializing_if = "is_default")]
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Direct {
    #[serde(alias = "controllerEndpoint")]
    controller_endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    #[serde(alias = "underlayAddress")]
    underlay_address: String,
    #[serde(alias = "agentEndpoint")]
    agent_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<Gateway>,
    #[serde(default, skip_serializing_if = "is_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gateway {
    #[serde(alias = "agentEndpoint")]
    agent_endpoint: String,
    #[serde(alias = "underlayAddress")]
    underlay_address: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Status {
    conditions: Vec<Condition>,
    nodes: Vec<NodeStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct NodeStatus {
    node: String,
    ready: bool,
    #[serde(skip_serializing_if = "is_default")]
    message: String,
}

impl From<ClusterManifest> for v1::Cluster {
    fn from(manifest: ClusterManifest) -> Self {
        let driver = manifest.spec.direct.map(|direct| {
            Driver::Direct(v1::DirectDriver { controller_endpoint: direct.controller_endpoint })
        });
        Self {
            metadata: Some(manifest.metadata.into()),
            spec: Some(v1::ClusterSpec { driver, nodes: each(manifest.spec.nodes) }),
            status: None,
        }
    }
}

impl From<v1::Cluster> for ClusterManifest {
    fn from(cluster: v1::Cluster) -> Self {
        let spec = cluster.spec.unwrap_or_default();
        let direct = spec.driver.map(|Driver::Direct(direct)| Direct {
            controller_endpoint: direct.controller_endpoint,
        });
        Self {
            kind: Kind::Cluster,
            metadata: cluster.metadata.unwrap_or_default().into(),
            spec: Spec { direct, nodes: each(spec.nodes) },
            status: OutputOnly(cluster.status.map(Status::from)),
        }
    }
}

impl From<Node> for v1::Node {
    fn from(node: Node) -> Self {
        let gateway = node.gateway.map(|gateway| v1::Gateway {
            agent_endpoint: gateway.agent_endpoint,
            underlay_address: gateway.underlay_address,
        });
        Self {
            name: node.name,
            underlay_address: node.underlay_address,
            agent_endpoint: node.agent_endpoint,
            gateway,
            labels: node.labels,
        }
    }
}

impl From<v1::Node> for Node {
    fn from(node: v1::Node) -> Self {
        let gateway = node.gateway.map(|gateway| Gateway {
            agent_endpoint: gateway.agent_endpoint,
            underlay_address: gateway.underlay_address,
        });
        Self {
            name: node.name,
            underlay_address: node.underlay_address,
            agent_endpoint: node.agent_endpoint,
            gateway,
            labels: node.labels,
        }
    }
}

impl From<v1::ClusterStatus> for Status {
    fn from(status: v1::ClusterStatus) -> Self {
        Self { conditions: each(status.conditions), nodes: each(status.nodes) }
    }
}

impl From<v1::NodeStatus> for NodeStatus {
    fn from(status: v1::NodeStatus) -> Self {
        Self { node: status.node, ready: status.ready, message: status.message }
    }
}
