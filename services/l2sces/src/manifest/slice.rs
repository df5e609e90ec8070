use std::collections::BTreeMap;

use l2sces_proto::{measurement::v1::MeasurementPolicy, slice::v1};
use serde::{Deserialize, Serialize};

use super::{
    Kind,
    envelope::{Condition, Link, Metadata, OutputOnly, each, is_default},
    measurement::Measurement,
};

/// A slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SliceManifest {
    kind: Kind,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default, skip_serializing_if = "OutputOnly::is_none")]
    status: OutputOnly<Status>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    clusters: Vec<SliceCluster>,
    #[serde(default, skip_serializing_if = "is_default")]
    links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measurement: Option<Measurement>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SliceCluster {
    cluster: String,
    #[serde(default, skip_serializing_if = "is_default")]
    nodes: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    links: Vec<Link>,
    #[serde(default, alias = "transitLabels", skip_serializing_if = "is_default")]
    transit_labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Status {
    conditions: Vec<Condition>,
}

impl From<SliceManifest> for v1::Slice {
    fn from(manifest: SliceManifest) -> Self {
        let spec = v1::SliceSpec {
            clusters: each(manifest.spec.clusters),
            links: each(manifest.spec.links),
            measurement: manifest.spec.measurement.map(MeasurementPolicy::from),
        };
        Self { metadata: Some(manifest.metadata.into()), spec: Some(spec), status: None }
    }
}

impl From<v1::Slice> for SliceManifest {
    fn from(slice: v1::Slice) -> Self {
        let spec = slice.spec.unwrap_or_default();
        let status = slice.status.map(|status| Status { conditions: each(status.conditions) });
        Self {
            kind: Kind::Slice,
            metadata: slice.metadata.unwrap_or_default().into(),
            spec: Spec {
                clusters: each(spec.clusters),
                links: each(spec.links),
                measurement: spec.measurement.map(Measurement::from),
            },
            status: OutputOnly(status),
        }
    }
}

impl From<SliceCluster> for v1::SliceCluster {
    fn from(part: SliceCluster) -> Self {
        Self {
            cluster: part.cluster,
            nodes: part.nodes,
            links: each(part.links),
            transit_labels: part.transit_labels,
        }
    }
}

impl From<v1::SliceCluster> for SliceCluster {
    fn from(part: v1::SliceCluster) -> Self {
        Self {
            cluster: part.cluster,
            nodes: part.nodes,
            links: each(part.links),
            transit_labels: part.transit_labels,
        }
    }
}
