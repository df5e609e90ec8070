use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is measured of links, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeasurementPolicy {
    /// What is measured.
    #[schemars(length(min = 1))]
    pub metrics: Vec<LinkMetric>,
    /// From the begin of one round of probes to that of the next, in milliseconds. Absent: 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2_000, max = 3_600_000))]
    pub interval_milliseconds: Option<i32>,
    /// Probes of a round for round-trip time, jitter and loss. Absent: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 10_000))]
    pub probes: Option<i32>,
    /// The most of a link that all probes in one direction may take, in thousandths. Absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub max_share_permille: Option<i32>,
}

/// What can be measured of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkMetric {
    /// Round-trip time.
    Rtt,
    /// How much the delay in one direction varies.
    Jitter,
    /// Lost probes in one direction.
    Loss,
    /// What gets through in one direction.
    Throughput,
}
