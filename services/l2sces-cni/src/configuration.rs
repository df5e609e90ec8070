//! How the plugin is to do it, as its configuration says, which the runtime hands it (CNI 1.1.0,
//! section 1).

use std::path::PathBuf;

use l2sces_proto::attachment::v1::{NetworkReference, ValidAttachment};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{CniError, Code},
    version::Version,
};

/// Where the sps-agent listens unless something else is said.
pub(crate) const DEFAULT_SOCKET: &str = "/run/l2sces/attachment.sock";

/// A configuration that makes sense.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// The version that the runtime speaks.
    pub(crate) version: Version,
    /// Where the sps-agent listens.
    pub(crate) socket: PathBuf,
    /// The one network that is meant; none: all that a pod asks for.
    pub(crate) network: Option<NetworkReference>,
    /// Namespaces whose pods are never attached, and start although nobody can be asked.
    pub(crate) excluded_namespaces: Vec<String>,
    /// The IP address that the pod wants in that network; empty: any.
    pub(crate) address: String,
    /// The MAC address that the pod wants in that network; empty: any.
    pub(crate) mac: String,
    /// What the plugins before this one have made; none: this is the first.
    pub(crate) previous: Option<Value>,
    /// The attachments that are to stay; none: nothing was said about it.
    pub(crate) valid: Option<Vec<ValidAttachment>>,
}

/// The same as the runtime writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    cni_version: String,
    socket: Option<PathBuf>,
    network: Option<String>,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    exclude_namespaces: Vec<String>,
    #[serde(default)]
    runtime_config: RuntimeConfig,
    prev_result: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<WrittenAttachment>>,
}

/// What the runtime knows of the pod's own wishes, of which Multus is one.
#[derive(Default, Deserialize)]
struct RuntimeConfig {
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    mac: String,
}

#[derive(Deserialize)]
struct WrittenAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

impl Configuration {
    /// Reads a configuration.
    ///
    /// # Errors
    /// It is no JSON, of a version that is not spoken, or makes no sense.
    pub(crate) fn parse(input: &[u8]) -> Result<Self, CniError> {
        let written: Written = serde_json::from_slice(input).map_err(|error| {
            CniError::new(Code::Undecodable, format!("cannot read the configuration: {error}"))
        })?;
        let version = written.cni_version.parse()?;
        let network = written.network.filter(|name| !name.is_empty());
        let network = network.map(|name| NetworkReference { namespace: written.namespace, name });
        let wrong = |message: &str| CniError::new(Code::Configuration, message);
        if written.prev_result.as_ref().is_some_and(|previous| !previous.is_object()) {
            return Err(wrong("prevResult must be an object"));
        }
        let RuntimeConfig { ips, mac } = written.runtime_config;
        if network.is_none() && !(ips.is_empty() && mac.is_empty()) {
            return Err(wrong("runtimeConfig.ips and .mac need a network"));
        }
        let mut ips = ips.into_iter();
        let address = ips.next().unwrap_or_default();
        if ips.next().is_some() {
            return Err(wrong("runtimeConfig.ips must have one address at most"));
        }
        let valid = written.valid_attachments.map(|all| {
            all.into_iter()
                .map(|one| ValidAttachment {
                    sandbox_id: one.container_id,
                    interface_name: one.ifname,
                })
                .collect()
        });
        Ok(Self {
            version,
            socket: written.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            network,
            excluded_namespaces: written.exclude_namespaces,
            address,
            mac,
            previous: written.prev_result,
            valid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Code {
        Configuration::parse(text.as_bytes()).unwrap_err().code
    }

    #[test]
    fn what_multus_hands_over_is_understood() {
        let text = r#"{"cniVersion": "0.3.1", "name": "blue", "type": "l2sces-cni",
            "network": "blue", "namespace": "shop",
            "runtimeConfig": {"ips": ["10.1.0.9/24"], "mac": "02:00:00:00:00:09"}}"#;
        let configuration = Configuration::parse(text.as_bytes()).unwrap();
        let network = NetworkReference { namespace: "shop".into(), name: "blue".into() };
        assert_eq!(configuration.network, Some(network));
        assert_eq!(configuration.address, "10.1.0.9/24");
        assert_eq!(configuration.mac, "02:00:00:00:00:09");
        assert_eq!(configuration.socket.to_str(), Some(DEFAULT_SOCKET));
        assert!(configuration.valid.is_none() && configuration.previous.is_none());
    }

    #[test]
    fn nonsense_is_refused_with_the_number_for_it() {
        assert_eq!(refused("{"), Code::Undecodable);
        assert_eq!(refused(r#"{"cniVersion": "0.2.0"}"#), Code::IncompatibleVersion);
        assert_eq!(refused(r#"{"name": "without a version"}"#), Code::IncompatibleVersion);
        let with = |more: &str| refused(&format!(r#"{{"cniVersion": "1.0.0", {more}}}"#));
        assert_eq!(with(r#""prevResult": 7"#), Code::Configuration);
        assert_eq!(with(r#""runtimeConfig": {"ips": ["10.1.0.1"]}"#), Code::Configuration);
        let two = r#""network": "n", "runtimeConfig": {"ips": ["10.1.0.1", "10.1.0.2"]}"#;
        assert_eq!(with(two), Code::Configuration);
    }
}
