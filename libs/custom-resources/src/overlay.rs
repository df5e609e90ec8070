use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Link, LinkStatus, MeasurementPolicy, Monitor, Provider, SwitchTemplate};

/// The switches of this cluster, and the links between them, that slices use.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "l2sm.l2sm.k8s.local",
    version = "v1",
    kind = "Overlay",
    doc = "The switches of this cluster, and the links between them.",
    plural = "overlays",
    singular = "overlay",
    category = "l2sces",
    namespaced,
    derive = "PartialEq",
    status = "OverlayStatus",
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "NODES", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(name = "READY_NODES", type_ = "integer", json_path = ".status.readyNodes"),
    printcolumn(
        name = "PROVIDER",
        type_ = "string",
        json_path = ".spec.provider.name",
        priority = 1
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct OverlaySpec {
    /// The slice that it is the overlay of. Slices without one have that of their namespace, or the
    /// only one of the cluster.
    pub provider: Provider,
    /// Nodes and links; absent: all nodes, each linked with each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// The namespaces, besides its own, whose L2Networks may be networks of the slice; absent: all.
    /// What is a network of it already stays one. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub network_namespaces: Option<Vec<String>>,
    /// L2S-M's pod of a switch. Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_template: Option<SwitchTemplate>,
    /// How many interfaces L2S-M makes in advance. Not used: they are made on demand.
    #[serde(default = "default_interface_number")]
    pub interface_number: i32,
    /// L2S-M's way to ask for measurements of the links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// What is measured of the links; absent: what `monitor` asks for. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<MeasurementPolicy>,
}

/// Nodes and links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// Names of nodes.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub nodes: Vec<String>,
    /// Links between them; none: each node is linked with each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Those of the nodes that carry the frames of others only where there is no other way. Unknown
    /// to L2S-M.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid_transit: Vec<String>,
}

/// What is of an overlay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverlayStatus {
    /// What is of each link, in each direction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_metrics: Vec<LinkStatus>,
    /// Generation of the specification that all this speaks of. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// "Ready", and what else is to be said. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many nodes it has. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i32>,
    /// How many of them are ready. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_nodes: Option<i32>,
}

fn default_interface_number() -> i32 {
    10
}
