//! The annotation `l2sm/networks` of pods, in both of its forms: a list of names, `blue, red`, or
//! JSON, `[{"name": "blue", "ips": ["10.1.0.5/24"], "ifname": "net1"}]`.

use std::net::IpAddr;

use l2sces_model::{HostAddress, InterfaceName, InterfaceNameError};
use serde::Deserialize;
use thiserror::Error;

/// A network that a pod asks to be attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSelection {
    /// Name of the `L2Network`, in the pod's namespace.
    pub name: String,
    /// The address that the pod is to have; `None`: it gets one.
    pub address: Option<HostAddress>,
    /// Name of the interface in the pod; `None`: one is chosen.
    pub interface_name: Option<InterfaceName>,
    /// Namespace that the annotation names. Only the pod's own is allowed, which the caller knows.
    pub namespace: Option<String>,
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworksAnnotationError {
    /// It names no network.
    #[error("names no network: list their names, as in \"blue, red\"")]
    Empty,
    /// It begins like JSON and is not what it should be.
    #[error("is not a JSON list of networks, such as [{{\"name\": \"blue\"}}]: {0}")]
    Json(String),
    /// A name is no name of a Kubernetes resource.
    #[error(
        "{0:?} is no name of a network: it must consist of a-z, 0-9, '-' and '.', and begin and end with a letter or digit"
    )]
    Name(String),
    /// A network is named twice: a pod has at most one port in a network.
    #[error("names network {0} twice")]
    Repeated(String),
    /// An address cannot be read.
    #[error(
        "network {network}: {address:?} is no address, such as \"10.1.0.5\" or \"10.1.0.5/24\""
    )]
    Address {
        /// The network.
        network: String,
        /// What is no address.
        address: String,
    },
    /// A pod has at most one address in a network.
    #[error("network {network}: {count} addresses, but a pod has at most one in a network")]
    Addresses {
        /// The network.
        network: String,
        /// How many.
        count: usize,
    },
    /// The name of an interface cannot be one.
    #[error("network {network}: the name of an interface {error}")]
    InterfaceName {
        /// The network.
        network: String,
        /// Why not.
        error: InterfaceNameError,
    },
    /// Two networks are to have one interface.
    #[error("names interface {0} twice")]
    RepeatedInterface(String),
    /// Two interfaces are to have one address.
    #[error("names address {0} twice: nobody could tell by which interface it is meant")]
    RepeatedAddress(IpAddr),
}

/// Reads the value of the annotation.
///
/// # Errors
/// It has neither of the two forms, or asks for what cannot be.
pub fn parse_networks(text: &str) -> Result<Vec<NetworkSelection>, NetworksAnnotationError> {
    let text = text.trim();
    let networks = if text.starts_with(['[', '{']) { from_json(text)? } else { from_list(text)? };
    if networks.is_empty() {
        return Err(NetworksAnnotationError::Empty);
    }
    for (at, network) in networks.iter().enumerate() {
        let before = || networks.iter().take(at);
        if before().any(|other| other.name == network.name) {
            return Err(NetworksAnnotationError::Repeated(network.name.clone()));
        }
        if let Some(interface) = &network.interface_name
            && before().any(|other| other.interface_name.as_ref() == Some(interface))
        {
            return Err(NetworksAnnotationError::RepeatedInterface(interface.to_string()));
        }
        let address = network.address.map(HostAddress::address);
        if let Some(address) = address
            && before().any(|other| other.address.map(HostAddress::address) == Some(address))
        {
            return Err(NetworksAnnotationError::RepeatedAddress(address));
        }
    }
    Ok(networks)
}

fn from_list(text: &str) -> Result<Vec<NetworkSelection>, NetworksAnnotationError> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            Ok(NetworkSelection {
                name: checked_name(name)?,
                address: None,
                interface_name: None,
                namespace: None,
            })
        })
        .collect()
}

/// One network in the JSON form.
#[derive(Deserialize)]
struct Element {
    name: String,
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    ifname: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
}

fn from_json(text: &str) -> Result<Vec<NetworkSelection>, NetworksAnnotationError> {
    let elements: Vec<Element> = serde_json::from_str(text)
        .map_err(|error| NetworksAnnotationError::Json(error.to_string()))?;
    elements.into_iter().map(NetworkSelection::try_from).collect()
}

impl TryFrom<Element> for NetworkSelection {
    type Error = NetworksAnnotationError;

    fn try_from(element: Element) -> Result<Self, NetworksAnnotationError> {
        let network = checked_name(&element.name)?;
        let address = match element.ips.as_slice() {
            [] => None,
            [address] => {
                Some(address.trim().parse().map_err(|_| NetworksAnnotationError::Address {
                    network: network.clone(),
                    address: address.clone(),
                })?)
            }
            several => {
                return Err(NetworksAnnotationError::Addresses { network, count: several.len() });
            }
        };
        let interface_name = element
            .ifname
            .filter(|name| !name.is_empty())
            .map(|name| name.parse())
            .transpose()
            .map_err(|error| NetworksAnnotationError::InterfaceName {
                network: network.clone(),
                error,
            })?;
        let namespace = element.namespace.filter(|namespace| !namespace.is_empty());
        Ok(Self { name: network, address, interface_name, namespace })
    }
}

/// A DNS subdomain (RFC 1123), as names of custom resources are.
fn checked_name(name: &str) -> Result<String, NetworksAnnotationError> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        Ok(name.to_owned())
    } else {
        Err(NetworksAnnotationError::Name(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(name: &str) -> NetworkSelection {
        NetworkSelection {
            name: name.to_owned(),
            address: None,
            interface_name: None,
            namespace: None,
        }
    }

    #[test]
    fn reads_lists_of_names() {
        let cases = [
            ("blue", vec!["blue"]),
            ("blue, red", vec!["blue", "red"]),
            ("blue,red", vec!["blue", "red"]),
            (" blue ,\n red ,", vec!["blue", "red"]),
            ("net-1.example", vec!["net-1.example"]),
        ];
        for (text, names) in cases {
            let expected: Vec<_> = names.into_iter().map(selection).collect();
            assert_eq!(parse_networks(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn reads_json() {
        let blue = selection("blue");
        let address = |text: &str| Some(text.parse().unwrap());
        let cases = [
            (r#"[{"name":"blue"}]"#, vec![blue.clone()]),
            (r#" [ {"name": "blue"}, {"name": "red"} ] "#, vec![blue.clone(), selection("red")]),
            (
                r#"[{"name":"blue","ips":["10.0.0.1/24"]}]"#,
                vec![NetworkSelection { address: address("10.0.0.1/24"), ..blue.clone() }],
            ),
            (
                r#"[{"name":"blue","ips":["fd00::1"]}]"#,
                vec![NetworkSelection { address: address("fd00::1"), ..blue.clone() }],
            ),
            (
                r#"[{"name":"blue","ips":[],"ifname":"eth1","namespace":"team"}]"#,
                vec![NetworkSelection {
                    interface_name: Some("eth1".parse().unwrap()),
                    namespace: Some("team".to_owned()),
                    ..blue.clone()
                }],
            ),
            (r#"[{"name":"blue","ifname":"","namespace":"","mac":"x"}]"#, vec![blue]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_networks(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let cases = [
            ("", "names no network"),
            (" , ,", "names no network"),
            ("[]", "names no network"),
            ("[{\"name\":\"blue\"", "is not a JSON list of networks"),
            ("{\"name\":\"blue\"}", "is not a JSON list of networks"),
            ("[{\"ips\":[]}]", "missing field `name`"),
            ("[{\"name\":\"blue\",\"ips\":\"10.0.0.1\"}]", "is not a JSON list of networks"),
            ("Blue", "\"Blue\" is no name of a network"),
            ("team/blue", "\"team/blue\" is no name of a network"),
            ("blue red", "\"blue red\" is no name of a network"),
            ("-blue", "\"-blue\" is no name of a network"),
            ("blue..red", "\"blue..red\" is no name of a network"),
            ("blue,red,blue", "names network blue twice"),
            ("[{\"name\":\"blue\"},{\"name\":\"blue\"}]", "names network blue twice"),
            (
                "[{\"name\":\"blue\",\"ips\":[\"10.0.0\"]}]",
                "network blue: \"10.0.0\" is no address",
            ),
            (
                "[{\"name\":\"blue\",\"ips\":[\"10.0.0.1\",\"10.0.0.2\"]}]",
                "network blue: 2 addresses",
            ),
            ("[{\"name\":\"blue\",\"ifname\":\"a/b\"}]", "network blue: the name of an interface"),
            (
                "[{\"name\":\"blue\",\"ifname\":\"eth1\"},{\"name\":\"red\",\"ifname\":\"eth1\"}]",
                "names interface eth1 twice",
            ),
            (
                "[{\"name\":\"blue\",\"ips\":[\"10.0.0.1\"]},{\"name\":\"red\",\"ips\":[\"10.0.0.1/24\"]}]",
                "names address 10.0.0.1 twice",
            ),
        ];
        for (text, wrong) in cases {
            let error = parse_networks(text).unwrap_err().to_string();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }
}
