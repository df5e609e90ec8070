use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{NetworkType, Provider, l2_network::CIDR_PATTERN};

/// A network of a slice, in the control cluster.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "l2sces.l2sm.io",
    version = "v1",
    kind = "SliceNetwork",
    doc = "A network of a slice, in the control cluster.",
    plural = "slicenetworks",
    singular = "slicenetwork",
    category = "l2sces",
    namespaced,
    derive = "PartialEq",
    status = "SliceNetworkStatus",
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "CIDR", type_ = "string", json_path = ".spec.networkCIDR", priority = 1),
    printcolumn(name = "SLICE", type_ = "string", json_path = ".status.slice", priority = 1),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SliceNetworkSpec {
    /// Names of the clusters that it spans, all of its slice.
    #[schemars(length(min = 1))]
    pub clusters: Vec<String>,
    /// Kind of service. All are a multipoint segment.
    #[serde(rename = "type")]
    pub network_type: NetworkType,
    /// The profile with the provider, whose name is that of the slice; absent: "default".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_ref: Option<ProviderReference>,
    /// The provider itself, instead of a profile. L2S-CES deprecates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Addresses of the network, such as "10.1.0.0/24", for good; absent: its ports get none. Unknown
    /// to L2S-CES.
    #[serde(rename = "networkCIDR", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = CIDR_PATTERN))]
    pub network_cidr: Option<String>,
}

/// Names a `ProviderProfile`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderReference {
    /// Name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Namespace; absent: that of who refers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What is of a network of a slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SliceNetworkStatus {
    /// What is of it in each cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_statuses: Vec<ClusterStatus>,
    /// Name of the slice that it is in, for good. Unknown to L2S-CES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Virtual network identifier. Unknown to L2S-CES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<i32>,
    /// MTU of its ports, in bytes. Unknown to L2S-CES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// "Ready", and what else is to be said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the specification that all this speaks of. Unknown to L2S-CES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What is of a network in one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Name of the cluster.
    pub cluster_name: String,
    /// How it fares: "Ready", "Pending" (it is on its way), "NotReady" (the cluster is not),
    /// "NotRegistered" (with the slice-manager) or "NotInSlice".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How it fares, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
