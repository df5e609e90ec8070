use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Link, Monitor, Provider, ProviderReference, SwitchTemplate};

/// A slice: clusters and the links between them, in the control cluster.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "l2sces.l2sm.io",
    version = "v1",
    kind = "SliceOverlay",
    doc = "A slice, in the control cluster.",
    plural = "sliceoverlays",
    singular = "sliceoverlay",
    category = "l2sces",
    namespaced,
    derive = "PartialEq",
    status = "SliceOverlayStatus",
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "SWITCHES", type_ = "integer", json_path = ".status.deployedSwitches"),
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
pub struct SliceOverlaySpec {
    /// Clusters and links.
    pub topology: SliceTopology,
    /// The profile with the provider, whose name is that of the slice; absent: "default".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_ref: Option<ProviderReference>,
    /// The provider itself, instead of a profile. L2S-CES deprecates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The namespaces, besides its own, whose SliceNetworks may be networks of the slice; absent: all.
    /// What is a network of it already stays one. Unknown to L2S-CES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub network_namespaces: Option<Vec<String>>,
    /// L2S-M's pod of a switch. Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_template: Option<SwitchTemplate>,
    /// L2S-M's way to ask for measurements of the links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
}

/// Clusters and the links between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SliceTopology {
    /// The clusters, as they are registered with the slice-manager.
    #[serde(default)]
    pub nodes: Vec<SliceNode>,
    /// Links between them; none: each cluster is linked with each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
}

/// A cluster of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SliceNode {
    /// Name of the cluster.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its gateway, where the links with other clusters end; absent: every gateway of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<SliceGateway>,
}

/// The gateway of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SliceGateway {
    /// Name of its node; absent: that of the gateway with `ipAddress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Address that tunnels of other clusters end on. It only tells which gateway is meant: where
    /// gateways are, the registration of the cluster says, and another address is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
}

/// What is of a slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SliceOverlayStatus {
    /// How it fares: "Ready", "Pending" (it is on its way), "NotReady" (something of it does not work),
    /// "Failed" (it cannot be what the resource says), "Unknown" (nobody can tell now) or "Deleting". The
    /// condition "Ready" says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// How many of its switches are ready; absent: it is not known of all of its clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_switches: Option<i32>,
    /// Name of the slice that it is, for good. Unknown to L2S-CES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// "Ready", and what else is to be said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the specification that all this speaks of. Unknown to L2S-CES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
