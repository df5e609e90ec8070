//! Kubernetes objects of any kind.

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, TypeMeta},
};
use serde::{Serialize, de::DeserializeOwned};

use super::explained;
use crate::error::CliError;

/// The namespace of our workloads.
pub(crate) const NAMESPACE: &str = "l2sces-system";

/// The kinds of what a cluster is given, with their groups and versions, in the order in which they are
/// applied, so that each finds what it refers to. They are removed in the other.
const KINDS: [(&str, &str); 16] = [
    ("v1", "Namespace"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("coordination.k8s.io/v1", "Lease"),
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("policy/v1", "PodDisruptionBudget"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
];

/// What selects everything of a managed cluster: the services that control all clusters may be in the same.
/// Others may have the label too: what is removed is in the [`Inventory`](super::Inventory) as well.
pub(crate) const SELECTOR: &str =
    "app.kubernetes.io/part-of=l2sces,app.kubernetes.io/component!=control";

/// The kind of an object.
pub(crate) fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map(|types| types.kind.as_str()).unwrap_or_default()
}

/// How people know an object: its kind, and where it is.
pub(crate) fn shown(object: &DynamicObject) -> String {
    match object.namespace() {
        Some(namespace) => format!("{} {namespace}/{}", kind(object), object.name_any()),
        None => format!("{} {}", kind(object), object.name_any()),
    }
}

/// Sorts objects into the order in which they are applied; those of a kind stay as they are.
pub(crate) fn sort(objects: &mut [DynamicObject]) {
    let place = |object: &DynamicObject| KINDS.iter().position(|(_, name)| *name == kind(object));
    objects.sort_by_key(|object| place(object).unwrap_or(KINDS.len()));
}

/// The kinds of what a cluster is given, in the order in which it is removed.
pub(crate) fn kinds_to_remove() -> impl Iterator<Item = ApiResource> {
    KINDS.iter().rev().filter_map(|(version, name)| resource(version, name))
}

/// The kinds of what nobody wants to lose with its namespace: what runs, and what cannot be made again.
pub(crate) fn kinds_to_keep() -> impl Iterator<Item = ApiResource> {
    let kinds = [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
        ("v1", "Pod"),
        ("v1", "Secret"),
        ("v1", "PersistentVolumeClaim"),
    ];
    kinds.into_iter().filter_map(|(version, name)| resource(version, name))
}

fn resource(api_version: &str, kind: &str) -> Option<ApiResource> {
    let types = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
    let kind = GroupVersionKind::try_from(&types).ok()?;
    Some(ApiResource::from_gvk(&kind))
}

/// Where an object is in the API.
pub(crate) fn api(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>, CliError> {
    let types = object.types.clone().unwrap_or_default();
    let resource = resource(&types.api_version, &types.kind)
        .ok_or_else(|| CliError::Failed(format!("{}: what is its version?", shown(object))))?;
    Ok(api_of(client, &resource, object.namespace().as_deref()))
}

/// Objects of a kind, in a namespace or everywhere.
pub(crate) fn api_of(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// All objects of a kind, in a namespace or everywhere, that are selected; none where the API server does not
/// know the kind.
pub(crate) async fn list(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    selector: Option<&str>,
) -> Result<Vec<DynamicObject>, CliError> {
    let label_selector = selector.map(str::to_owned);
    let parameters = ListParams { label_selector, ..ListParams::default() };
    match api_of(client, resource, namespace).list(&parameters).await {
        Ok(list) => Ok(list.items.into_iter().map(|object| typed(object, resource)).collect()),
        // An API server that has just forgotten a kind says it in plain words.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(explained(&resource.plural, error)),
    }
}

/// An object that knows its kind: in a list they do not say it.
fn typed(mut object: DynamicObject, resource: &ApiResource) -> DynamicObject {
    object.types =
        Some(TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() });
    object
}

/// A value as one of another type with the same fields.
pub(crate) fn converted<T: DeserializeOwned>(value: &impl Serialize) -> Result<T, CliError> {
    let value = serde_json::to_value(value).and_then(serde_json::from_value);
    value.map_err(|error| CliError::Failed(format!("a manifest cannot be read: {error}")))
}
