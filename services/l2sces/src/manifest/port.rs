use l2sces_proto::slice::v1::{self, port_spec::Attachment};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{
    Kind,
    envelope::{Condition, Metadata, OutputOnly, each, is_default},
};

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortManifest {
    kind: Kind,
    metadata: Metadata,
    #[serde(default)]
    slice: String,
    #[serde(default)]
    network: String,
    #[serde(default)]
    spec: Spec,
    #[serde(default, skip_serializing_if = "OutputOnly::is_none")]
    status: OutputOnly<Status>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    node: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Namespace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interface: Option<Interface>,
    #[serde(default, skip_serializing_if = "is_default")]
    mac: String,
    #[serde(default, skip_serializing_if = "is_default")]
    address: String,
    #[serde(default, alias = "maxLearnedAddresses", skip_serializing_if = "is_default")]
    max_learned_addresses: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Namespace {
    path: String,
    #[serde(default, alias = "interfaceName", skip_serializing_if = "is_default")]
    interface_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Status {
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "is_default")]
    mac: String,
    #[serde(skip_serializing_if = "is_default")]
    address: String,
    #[serde(skip_serializing_if = "is_default")]
    interface_name: String,
    #[serde(skip_serializing_if = "is_default")]
    learned_macs: Vec<String>,
}

impl PortManifest {
    /// Deserializes a port that has one attachment at most, as the API's messages can only have.
    pub(super) fn with_one_attachment<'de, D>(deserializer: D) -> Result<Self, D::Error>
    where
        D: Deserializer<'de>,
    {
        let port = Self::deserialize(deserializer)?;
        if port.spec.namespace.is_some() && port.spec.interface.is_some() {
            return Err(D::Error::custom("spec: namespace and interface exclude each other"));
        }
        Ok(port)
    }
}

impl From<PortManifest> for v1::Port {
    fn from(manifest: PortManifest) -> Self {
        let spec = manifest.spec;
        let attachment = match (spec.namespace, spec.interface) {
            (Some(namespace), _) => Some(Attachment::Namespace(v1::NamespaceAttachment {
                path: namespace.path,
                interface_name: namespace.interface_name,
            })),
            (None, Some(interface)) => {
                Some(Attachment::Interface(v1::InterfaceAttachment { name: interface.name }))
            }
            (None, None) => None,
        };
        let spec = v1::PortSpec {
            cluster: spec.cluster,
            node: spec.node,
            attachment,
            mac: spec.mac,
            address: spec.address,
            max_learned_addresses: spec.max_learned_addresses,
        };
        Self {
            metadata: Some(manifest.metadata.into()),
            slice: manifest.slice,
            network: manifest.network,
            spec: Some(spec),
            status: None,
        }
    }
}

impl From<v1::Port> for PortManifest {
    fn from(port: v1::Port) -> Self {
        let spec = port.spec.unwrap_or_default();
        let (namespace, interface) = match spec.attachment {
            Some(Attachment::Namespace(namespace)) => {
                let v1::NamespaceAttachment { path, interface_name } = namespace;
                (Some(Namespace { path, interface_name }), None)
            }
            Some(Attachment::Interface(interface)) => {
                (None, Some(Interface { name: interface.name }))
            }
            None => (None, None),
        };
        let status = port.status.map(|status| Status {
            conditions: each(status.conditions),
            mac: status.mac,
            address: status.address,
            interface_name: status.interface_name,
            learned_macs: status.learned_macs,
        });
        Self {
            kind: Kind::Port,
            metadata: port.metadata.unwrap_or_default().into(),
            slice: port.slice,
            network: port.network,
            spec: Spec {
                cluster: spec.cluster,
                node: spec.node,
                namespace,
                interface,
                mac: spec.mac,
                address: spec.address,
                max_learned_addresses: spec.max_learned_addresses,
            },
            status: OutputOnly(status),
        }
    }
}
