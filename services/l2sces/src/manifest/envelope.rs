//! What manifests of all kinds have.

use l2sces_proto::resource::v1;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};

/// What only the server sets: printed, and ignored when read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputOnly<T>(pub(crate) Option<T>);

impl<T> OutputOnly<T> {
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl<T> Default for OutputOnly<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Serialize> Serialize for OutputOnly<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for OutputOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(None))
    }
}

/// Whether a value is the default, which is not printed.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Identity and versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    name: String,
    #[serde(default, skip_serializing_if = "OutputOnly::is_none")]
    uid: OutputOnly<String>,
    #[serde(default, skip_serializing_if = "OutputOnly::is_none")]
    generation: OutputOnly<i64>,
    #[serde(default, skip_serializing_if = "OutputOnly::is_none")]
    revision: OutputOnly<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    etag: String,
    #[serde(default, alias = "createTime", skip_serializing_if = "OutputOnly::is_none")]
    create_time: OutputOnly<String>,
    #[serde(default, alias = "deleteTime", skip_serializing_if = "OutputOnly::is_none")]
    delete_time: OutputOnly<String>,
    #[serde(default, alias = "managedBy", skip_serializing_if = "OutputOnly::is_none")]
    managed_by: OutputOnly<String>,
}

impl From<Metadata> for v1::Metadata {
    fn from(metadata: Metadata) -> Self {
        Self { name: metadata.name, etag: metadata.etag, ..Self::default() }
    }
}

impl From<v1::Metadata> for Metadata {
    fn from(metadata: v1::Metadata) -> Self {
        Self {
            name: metadata.name,
            uid: OutputOnly((!metadata.uid.is_empty()).then_some(metadata.uid)),
            generation: OutputOnly((metadata.generation != 0).then_some(metadata.generation)),
            revision: OutputOnly((metadata.revision != 0).then_some(metadata.revision)),
            etag: metadata.etag,
            create_time: OutputOnly(metadata.create_time.map(|time| time.to_string())),
            delete_time: OutputOnly(metadata.delete_time.map(|time| time.to_string())),
            managed_by: OutputOnly(
                (!metadata.managed_by.is_empty()).then_some(metadata.managed_by),
            ),
        }
    }
}

/// One aspect of a state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Condition {
    r#type: String,
    status: &'static str,
    reason: String,
    message: String,
    observed_generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<String>,
}

impl From<v1::Condition> for Condition {
    fn from(condition: v1::Condition) -> Self {
        Self {
            status: status_text(condition.status()),
            r#type: condition.r#type,
            reason: condition.reason,
            message: condition.message,
            observed_generation: condition.observed_generation,
            last_transition_time: condition.last_transition_time.map(|time| time.to_string()),
        }
    }
}

/// A condition's status as people read it.
pub(crate) fn status_text(status: v1::ConditionStatus) -> &'static str {
    match status {
        v1::ConditionStatus::True => "True",
        v1::ConditionStatus::False => "False",
        v1::ConditionStatus::Unknown | v1::ConditionStatus::Unspecified => "Unknown",
    }
}

/// Converts each of many.
pub(crate) fn each<T, U: From<T>>(values: Vec<T>) -> Vec<U> {
    values.into_iter().map(U::from).collect()
}

/// An undirected link between two vertices of a topology.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    #[serde(alias = "endpointA")]
    endpoint_a: String,
    #[serde(alias = "endpointB")]
    endpoint_b: String,
    #[serde(default, skip_serializing_if = "is_default")]
    cost: u32,
    #[serde(default, alias = "gatewayA", skip_serializing_if = "is_default")]
    gateway_a: String,
    #[serde(default, alias = "gatewayB", skip_serializing_if = "is_default")]
    gateway_b: String,
}

impl From<Link> for l2sces_proto::slice::v1::Link {
    fn from(link: Link) -> Self {
        Self {
            endpoint_a: link.endpoint_a,
            endpoint_b: link.endpoint_b,
            cost: link.cost,
            gateway_a: link.gateway_a,
            gateway_b: link.gateway_b,
        }
    }
}

impl From<l2sces_proto::slice::v1::Link> for Link {
    fn from(link: l2sces_proto::slice::v1::Link) -> Self {
        Self {
            endpoint_a: link.endpoint_a,
            endpoint_b: link.endpoint_b,
            cost: link.cost,
            gateway_a: link.gateway_a,
            gateway_b: link.gateway_b,
        }
    }
}
