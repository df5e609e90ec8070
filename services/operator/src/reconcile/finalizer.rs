use std::fmt::Debug;

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use l2sces_custom_resources::FINALIZER;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

/// A resource that has the operator's finalizer.
pub(super) trait Finalized:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<R> Finalized for R where
    R: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// Whether a resource has the operator's finalizer.
pub(super) fn has_finalizer<R: Resource>(resource: &R) -> bool {
    resource.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Gives a resource the finalizer, so that it stays until what is made for it is removed.
pub(super) async fn add<R: Finalized>(client: &Client, resource: &R) -> kube::Result<()> {
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    write(client, resource, &finalizers).await
}

/// Lets a resource go.
pub(super) async fn remove<R: Finalized>(client: &Client, resource: &R) -> kube::Result<()> {
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    write(client, resource, &finalizers).await
}

/// Writes the list as a whole, unless somebody has written the resource since it was read.
async fn write<R: Finalized>(
    client: &Client,
    resource: &R,
    finalizers: &[String],
) -> kube::Result<()> {
    let api: Api<R> = Api::namespaced(client.clone(), &resource.namespace().unwrap_or_default());
    let patch = json!({ "metadata": {
        "resourceVersion": resource.resource_version(),
        "finalizers": finalizers,
    }});
    let (name, params, patch) = (resource.name_any(), PatchParams::default(), Patch::Merge(patch));
    match api.patch_metadata(&name, &params, &patch).await {
        // Whoever wrote it or deleted it is told of by the watch, and then this is tried again.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(()),
        written => written.map(drop),
    }
}
