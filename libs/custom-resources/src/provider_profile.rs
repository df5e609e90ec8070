use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Provider;

/// A provider that several slices and networks refer to. The one named "default" is that of all in
/// its namespace that name none.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "l2sces.l2sm.io",
    version = "v1",
    kind = "ProviderProfile",
    doc = "A provider that several slices and networks refer to.",
    plural = "providerprofiles",
    singular = "providerprofile",
    category = "l2sces",
    namespaced,
    derive = "PartialEq",
    status = "ProviderProfileStatus",
    printcolumn(
        name = "PROVIDER",
        type_ = "string",
        json_path = ".spec.provider.name",
        priority = 1
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct ProviderProfileSpec {
    /// The provider.
    pub provider: Provider,
}

/// What is of a profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderProfileStatus {
    /// What is to be said of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
