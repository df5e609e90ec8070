use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// L2S-M's way to ask for measurements of links. Of it only `metrics` counts: the names "rtt",
/// "jitter", "loss" and "throughput", and the shortest of their intervals. See `measurement`, which
/// counts instead where it is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitor {
    /// What is measured.
    pub metrics: Vec<MetricSpec>,
    /// How L2S-M spreads its measurements. Not used: probes are spread anyhow.
    #[serde(default = "default_spread_factor")]
    pub spread_factor: String,
    /// Where L2S-M sends what it measured. Not used: every agent serves metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_metric: Option<ExportMetric>,
    /// Addresses of L2S-M's probes. Not used: probes have none.
    #[serde(rename = "networkCIDR", default, skip_serializing_if = "Option::is_none")]
    pub network_cidr: Option<String>,
    /// Address of a gateway's probes in L2S-M. Not used.
    #[serde(rename = "ipCIDR", default, skip_serializing_if = "Option::is_none")]
    pub ip_cidr: Option<String>,
}

/// One thing to measure, in L2S-M's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricSpec {
    /// What: "rtt", "jitter", "loss" or "throughput". Others are not measured.
    pub name: String,
    /// How often, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<i32>,
    /// A script that measures. Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_source: Option<ConfigMapKeySelector>,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapKeySelector {
    /// Name of the ConfigMap.
    pub name: String,
    /// The key.
    pub key: String,
}

/// Where L2S-M sends what it measured. Not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportMetric {
    /// How.
    #[serde(default = "default_word")]
    pub method: String,
    /// As which service account.
    #[serde(default = "default_word")]
    pub service_account: String,
    /// Further settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

fn default_spread_factor() -> String {
    "0.2".to_owned()
}

fn default_word() -> String {
    "default".to_owned()
}
