use std::{collections::BTreeMap, fmt};

use clap::ValueEnum;
use l2sces_proto::slice::v1::{self, cluster_spec::Driver};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kubernetes: Option<Kubernetes>,
    #[serde(default, skip_serializing_if = "is_default")]
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Direct {
    #[serde(alias = "controllerEndpoint")]
    controller_endpoint: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kubernetes {
    #[serde(alias = "apiEndpoint", default, skip_serializing_if = "is_default")]
    api_endpoint: String,
    #[serde(alias = "caPem", default, skip_serializing_if = "is_default")]
    ca_pem: String,
    #[serde(alias = "bearerToken", default, skip_serializing)]
    bearer_token: String,
    #[serde(default, skip_serializing)]
    kubeconfig: String,
    #[serde(default, skip_serializing_if = "is_default")]
    namespace: String,
    #[serde(alias = "driftPolicy", default, skip_serializing_if = "Option::is_none")]
    drift_policy: Option<DriftPolicy>,
}

/// Without the secrets.
impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").field("api_endpoint", &self.api_endpoint).finish()
    }
}

/// What is done about custom resources that others have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DriftPolicy {
    /// They are made as they should be again
    Mend,
    /// The condition says so
    Report,
}

impl From<DriftPolicy> for v1::DriftPolicy {
    fn from(policy: DriftPolicy) -> Self {
        match policy {
            DriftPolicy::Mend => Self::Mend,
            DriftPolicy::Report => Self::Report,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    #[serde(alias = "underlayAddress")]
    underlay_address: String,
    #[serde(alias = "agentEndpoint", default, skip_serializing_if = "is_default")]
    agent_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<Gateway>,
    #[serde(default, skip_serializing_if = "is_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gateway {
    #[serde(alias = "agentEndpoint", default, skip_serializing_if = "is_default")]
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

impl ClusterManifest {
    /// Deserializes a cluster that has one driver at most, as the API's messages can only have.
    pub(super) fn with_one_driver<'de, D>(deserializer: D) -> Result<Self, D::Error>
    where
        D: Deserializer<'de>,
    {
        let cluster = Self::deserialize(deserializer)?;
        if cluster.spec.direct.is_some() && cluster.spec.kubernetes.is_some() {
            return Err(D::Error::custom("spec: direct and kubernetes exclude each other"));
        }
        Ok(cluster)
    }
}

impl From<ClusterManifest> for v1::Cluster {
    fn from(manifest: ClusterManifest) -> Self {
        let direct = manifest.spec.direct.map(|direct| {
            Driver::Direct(v1::DirectDriver { controller_endpoint: direct.controller_endpoint })
        });
        let kubernetes = manifest.spec.kubernetes.map(|kubernetes| {
            Driver::Kubernetes(v1::KubernetesDriver {
                api_endpoint: kubernetes.api_endpoint,
                ca_pem: kubernetes.ca_pem,
                bearer_token: kubernetes.bearer_token,
                kubeconfig: kubernetes.kubeconfig,
                namespace: kubernetes.namespace,
                drift_policy: kubernetes
                    .drift_policy
                    .map_or(v1::DriftPolicy::Unspecified, v1::DriftPolicy::from)
                    .into(),
            })
        });
        let driver = direct.or(kubernetes);
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
        let (direct, kubernetes) = match spec.driver {
            Some(Driver::Direct(direct)) => {
                (Some(Direct { controller_endpoint: direct.controller_endpoint }), None)
            }
            Some(Driver::Kubernetes(kubernetes)) => (None, Some(kubernetes.into())),
            None => (None, None),
        };
        Self {
            kind: Kind::Cluster,
            metadata: cluster.metadata.unwrap_or_default().into(),
            spec: Spec { direct, kubernetes, nodes: each(spec.nodes) },
            status: OutputOnly(cluster.status.map(Status::from)),
        }
    }
}

impl From<v1::KubernetesDriver> for Kubernetes {
    fn from(driver: v1::KubernetesDriver) -> Self {
        let drift_policy = match driver.drift_policy() {
            v1::DriftPolicy::Unspecified => None,
            v1::DriftPolicy::Mend => Some(DriftPolicy::Mend),
            v1::DriftPolicy::Report => Some(DriftPolicy::Report),
        };
        Self {
            api_endpoint: driver.api_endpoint,
            ca_pem: driver.ca_pem,
            bearer_token: driver.bearer_token,
            kubeconfig: driver.kubeconfig,
            namespace: driver.namespace,
            drift_policy,
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
