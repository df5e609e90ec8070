use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use l2sces_model::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{IdsRules, Provider, local_slice};

/// What a field may be that is a CIDR, as far as a pattern can tell: empty is absent, which L2S-M's users
/// are used to.
pub(crate) const CIDR_PATTERN: &str = "^$|^[0-9A-Fa-f.:]+/[0-9]{1,3}$";

/// A layer-2 network: pods that name it in their annotation l2sm/networks are on one segment.
/// Isolated from all other networks.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "l2sm.l2sm.k8s.local",
    version = "v1",
    kind = "L2Network",
    doc = "A layer-2 network, isolated from all others.",
    plural = "l2networks",
    singular = "l2network",
    shortname = "l2net",
    category = "l2sces",
    namespaced,
    derive = "PartialEq",
    status = "L2NetworkStatus",
    printcolumn(
        name = "AVAILABILITY",
        type_ = "string",
        json_path = ".status.internalConnectivity",
        description = "Whether the network is in place in this cluster"
    ),
    printcolumn(
        name = "CONNECTED_PODS",
        type_ = "integer",
        json_path = ".status.connectedPodCount",
        description = "Pods of this cluster that are attached"
    ),
    printcolumn(
        name = "PROVIDER",
        type_ = "string",
        json_path = ".status.providerConnectivity",
        description = "Whether the network is in place between clusters"
    ),
    printcolumn(name = "CIDR", type_ = "string", json_path = ".spec.networkCIDR", priority = 1),
    printcolumn(name = "SLICE", type_ = "string", json_path = ".status.slice", priority = 1),
    printcolumn(name = "VNI", type_ = "integer", json_path = ".status.vni", priority = 1),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct L2NetworkSpec {
    /// Kind of service. All are a multipoint segment.
    #[serde(rename = "type")]
    pub network_type: NetworkType,
    /// L2S-M's free text. Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Whose network it is, to span clusters; absent: it is of this namespace only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Addresses of the network, such as "10.1.0.0/24"; absent: pods get none. The same in every
    /// cluster that the network spans.
    #[serde(rename = "networkCIDR", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = CIDR_PATTERN))]
    pub network_cidr: Option<String>,
    /// Those of the addresses that pods of this cluster get, as a CIDR; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = CIDR_PATTERN))]
    pub pod_address_range: Option<String>,
    /// L2S-M's intrusion detection. Not carried out: a condition says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdsRules>,
}

/// The kind of service that a network gives, in L2S-M's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkType {
    /// A network across clusters.
    ExtVnet,
    /// A network.
    Vnet,
    /// A line.
    Vlink,
}

/// Whether something is connected, in L2S-M's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConnectivityStatus {
    /// It is.
    Available,
    /// It is not.
    #[default]
    Unavailable,
    /// Nobody knows.
    Unknown,
}

/// What is of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct L2NetworkStatus {
    /// How many pods of this cluster are attached.
    #[serde(default)]
    pub connected_pod_count: i32,
    /// The address that was given last. No longer given: see assignedIPs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_assigned_ip: Option<String>,
    /// The addresses of this cluster's pods, each with the name of its pod.
    // Applied as a whole: an API server of version 1.20 takes a map whose last key is given up for
    // null, and refuses that.
    #[serde(rename = "assignedIPs", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub assigned_ips: BTreeMap<String, String>,
    /// Whether the network is in place in this cluster.
    #[serde(default)]
    pub internal_connectivity: ConnectivityStatus,
    /// Whether the network is in place between clusters; absent without a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_connectivity: Option<ConnectivityStatus>,
    /// Generation of the specification that all this speaks of. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// "Ready", and what else is to be said. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the slice that the network is in. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Virtual network identifier. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<i32>,
    /// MTU of its ports, in bytes. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
}

impl L2Network {
    /// Name of the network in its slice.
    pub fn network_name(&self) -> Name {
        Name::standing_for(self.metadata.name.as_deref().unwrap_or_default())
    }

    /// Name of the slice that the network is in: its provider's, or that of its namespace alone.
    pub fn slice_name(&self, cluster: &Name) -> Name {
        match &self.spec.provider {
            Some(provider) => provider.slice_name(),
            None => local_slice(cluster, self.metadata.namespace.as_deref().unwrap_or_default()),
        }
    }
}
