use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::opaque;

/// L2S-M's pod of a switch. Accepted and not used: the agents and Open vSwitch run as DaemonSets
/// beside each other, so that one can be upgraded without the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwitchTemplate {
    /// The pod's metadata.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "opaque::object")]
    pub metadata: Map<String, Value>,
    /// What the pod runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<SwitchPodSpec>,
}

/// What L2S-M's pod of a switch runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchPodSpec {
    /// Volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::objects")]
    pub volumes: Vec<Map<String, Value>>,
    /// Containers that run before the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::objects")]
    pub init_containers: Vec<Map<String, Value>>,
    /// Containers.
    #[schemars(schema_with = "opaque::objects")]
    pub containers: Vec<Map<String, Value>>,
    /// Whether in the network namespace of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_network: Option<bool>,
}
