use l2sces_proto::slice::v1;
use serde::{Deserialize, Serialize};

use super::{
    Kind,
    envelope::{Condition, Metadata, OutputOnly, each, is_default},
};

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkManifest {
    kind: Kind,
    metadata: Metadata,
    #[serde(default)]
    slice: String,
    #[serde(default)]
    spec: Spec,
    #[serde(default, skip_serializing_if = "OutputOnly::is_none")]
    status: OutputOnly<Status>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default, skip_serializing_if = "is_default")]
    clusters: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#type: Option<NetworkType>,
    #[serde(default, skip_serializing_if = "is_default")]
    cidr: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NetworkType {
    Vnet,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Status {
    conditions: Vec<Condition>,
    vni: u32,
    mtu: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pods: Vec<ClusterPods>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ClusterPods {
    cluster: String,
    attached: u32,
}

impl From<v1::ClusterPods> for ClusterPods {
    fn from(pods: v1::ClusterPods) -> Self {
        Self { cluster: pods.cluster, attached: pods.attached }
    }
}

impl From<NetworkManifest> for v1::Network {
    fn from(manifest: NetworkManifest) -> Self {
        let spec = v1::NetworkSpec {
            clusters: manifest.spec.clusters,
            r#type: match manifest.spec.r#type {
                Some(NetworkType::Vnet) => v1::NetworkType::Vnet.into(),
                None => v1::NetworkType::Unspecified.into(),
            },
            cidr: manifest.spec.cidr,
        };
        Self {
            metadata: Some(manifest.metadata.into()),
            slice: manifest.slice,
            spec: Some(spec),
            status: None,
        }
    }
}

impl From<v1::Network> for NetworkManifest {
    fn from(network: v1::Network) -> Self {
        let spec = network.spec.unwrap_or_default();
        let status = network.status.map(|status| Status {
            conditions: each(status.conditions),
            vni: status.vni,
            mtu: status.mtu,
            pods: each(status.pods),
        });
        Self {
            kind: Kind::Network,
            metadata: network.metadata.unwrap_or_default().into(),
            slice: network.slice,
            spec: Spec {
                r#type: match spec.r#type() {
                    v1::NetworkType::Vnet => Some(NetworkType::Vnet),
                    v1::NetworkType::Unspecified => None,
                },
                clusters: spec.clusters,
                cidr: spec.cidr,
            },
            status: OutputOnly(status),
        }
    }
}
