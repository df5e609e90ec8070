use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConnectivityStatus, LinkStatus, MeasurementPolicy, Monitor, Provider, SwitchTemplate};

/// A gateway of this cluster towards other clusters, for one slice.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "l2sm.l2sm.k8s.local",
    version = "v1",
    kind = "NetworkEdgeDevice",
    doc = "A gateway of this cluster towards other clusters.",
    plural = "networkedgedevices",
    singular = "networkedgedevice",
    shortname = "ned",
    category = "l2sces",
    namespaced,
    derive = "PartialEq",
    status = "NetworkEdgeDeviceStatus",
    printcolumn(
        name = "STATUS",
        type_ = "string",
        json_path = ".status.availability",
        description = "Whether the gateway is in place"
    ),
    printcolumn(name = "NODE", type_ = "string", json_path = ".status.node.nodeName"),
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
pub struct NetworkEdgeDeviceSpec {
    /// The slice that it is a gateway of.
    pub provider: Provider,
    /// Which node it is; absent: the first of the control plane's, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_config: Option<NodeConfig>,
    /// The clusters that it is linked with; none: all of the slice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbors: Vec<Neighbor>,
    /// L2S-M's pod of a switch. Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_template: Option<SwitchTemplate>,
    /// L2S-M's way to ask for measurements of the links between clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// What is measured of the links between clusters; absent: what `monitor` asks for. Unknown to
    /// L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<MeasurementPolicy>,
}

/// A node, and where others reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    /// Name of the node.
    #[schemars(length(min = 1))]
    pub node_name: String,
    /// Its address (IPv4 or IPv6) that tunnels to gateways of other clusters end on.
    #[schemars(length(min = 1))]
    pub ip_address: String,
}

/// A gateway of another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Neighbor {
    /// Name of the cluster.
    pub node: String,
    /// Address or DNS name that its tunnels end on.
    pub domain: String,
    /// Address of its probes in L2S-M. Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpm_ip: Option<String>,
}

/// What is of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkEdgeDeviceStatus {
    /// Whether the gateway is in place.
    #[serde(default)]
    pub availability: ConnectivityStatus,
    /// The neighbors whose links are up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connected_neighbors: Vec<Neighbor>,
    /// OpenFlow datapath id of its switch, as "of:" and 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openflow_id: Option<String>,
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
    /// The node that it is. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeConfig>,
}
