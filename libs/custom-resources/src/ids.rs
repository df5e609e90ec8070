use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// L2S-M's intrusion detection by a mirrored port. Accepted and not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdsRules {
    /// Whether to mirror the network.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether to use the rules of Emerging Threats Open.
    #[serde(default = "yes")]
    pub use_emerging_threats_open: bool,
    /// Name of the node on which to detect.
    pub node: String,
    /// What detects, such as "suricata".
    pub profile: String,
    /// Addresses that are not foreign, as CIDRs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub home_net_cidr: Vec<String>,
    /// Further rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_rule_sources: Vec<RuleSource>,
    /// Ports to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_ports: Vec<i32>,
    /// Namespace of what detects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Where rules come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleSource {
    /// Name.
    pub name: String,
    /// Where to fetch them from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The rules themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// A ConfigMap with the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapReference>,
}

/// Names a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapReference {
    /// Name.
    pub name: String,
}

fn yes() -> bool {
    true
}
