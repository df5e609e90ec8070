//! The definitions of all custom resources, as they are applied to a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::{CustomResourceExt, ResourceExt};

use crate::{
    L2Network, NetworkEdgeDevice, Overlay, PART_OF_LABEL, PART_OF_US, ProviderProfile,
    SliceNetwork, SliceOverlay,
};

/// What every manifest begins with.
const HEADER: &str = "# Generated from libs/custom-resources by `cargo xtask crds`: do not edit.\n";

/// The definitions of all custom resources.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        L2Network::crd(),
        NetworkEdgeDevice::crd(),
        Overlay::crd(),
        ProviderProfile::crd(),
        SliceNetwork::crd(),
        SliceOverlay::crd(),
    ];
    for definition in &mut all {
        definition.labels_mut().insert(PART_OF_LABEL.to_owned(), PART_OF_US.to_owned());
    }
    let versions = all.iter_mut().flat_map(|definition| &mut definition.spec.versions);
    let schemas = versions.filter_map(|version| version.schema.as_mut());
    schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()).for_each(forbid_null);
    all
}

/// Takes `nullable` out of a schema: an API server drops a null then, as if the field were not there,
/// and `kubectl explain` can tell the field's type.
fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
        .for_each(forbid_null);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => forbid_null(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(forbid_null),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        forbid_null(values);
    }
}

/// A definition's file name in `k8s/crds`, and what the file holds (YAML).
///
/// # Errors
/// It cannot be written as YAML.
pub fn manifest(
    definition: &CustomResourceDefinition,
) -> Result<(String, String), serde_norway::Error> {
    let name = format!("{}.yaml", definition.spec.names.plural);
    Ok((name, format!("{HEADER}{}", serde_norway::to_string(definition)?)))
}
