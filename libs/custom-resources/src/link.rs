use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An undirected link between two nodes, or two clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Name of one end.
    #[schemars(length(min = 1))]
    pub endpoint_a: String,
    /// Name of the other.
    #[schemars(length(min = 1))]
    pub endpoint_b: String,
    /// What it costs to use: frames take the cheapest way. Absent: 1. Unknown to L2S-M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub cost: Option<i32>,
}

/// What is of a link, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// Name of the node that sends.
    pub source_node: String,
    /// Name of the node that receives.
    pub target_node: String,
    /// "Up" or "Down".
    pub status: String,
    /// What was measured last, if anything is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricValue>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricValue {
    /// What was measured: "rtt" and "jitter" in milliseconds, "loss" as a share from 0 to 1,
    /// "throughput" in kilobits per second.
    pub name: String,
    /// The value, as a decimal number.
    pub value: String,
}
