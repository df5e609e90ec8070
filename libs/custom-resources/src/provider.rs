use l2sces_model::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who joins networks of several clusters: its name is that of a slice. All networks and gateways
/// that name one provider belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Name of the slice. Must not begin with "local-".
    #[schemars(length(min = 1))]
    pub name: String,
    /// Where L2S-M finds the provider's controller and DNS. Not used: the operator is configured
    /// with its sco-provider.
    pub domain: Vec<String>,
    /// Port of L2S-M's controller. Not used.
    #[serde(default = "default_sdn_port")]
    pub sdn_port: String,
    /// Port of the DNS of names across clusters. Not used: the operator is configured with it.
    #[serde(default = "default_dns_port")]
    pub dns_port: String,
    /// Port of L2S-M's API of names. Not used.
    #[serde(default = "default_dns_grpc_port")]
    pub dns_grpc_port: String,
    /// OpenFlow port of L2S-M's controller. Not used.
    #[serde(default = "default_of_port")]
    pub of_port: String,
}

impl Provider {
    /// A provider by its name, with everything else as if it were not given.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            domain: Vec::new(),
            sdn_port: default_sdn_port(),
            dns_port: default_dns_port(),
            dns_grpc_port: default_dns_grpc_port(),
            of_port: default_of_port(),
        }
    }

    /// Name of the slice that it stands for.
    pub fn slice_name(&self) -> Name {
        Name::standing_for(&self.name)
    }
}

fn default_sdn_port() -> String {
    "30808".to_owned()
}

fn default_dns_port() -> String {
    "30053".to_owned()
}

fn default_dns_grpc_port() -> String {
    "30818".to_owned()
}

fn default_of_port() -> String {
    "6633".to_owned()
}
