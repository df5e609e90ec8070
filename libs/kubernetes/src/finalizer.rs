//! Finalizers: a resource stays until what is made for it is removed.

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::Namespaced;

/// Whether a resource has a finalizer.
pub fn is_on<R: Resource>(finalizer: &str, resource: &R) -> bool {
    resource.finalizers().iter().any(|other| other == finalizer)
}

/// Gives a resource a finalizer, so that it stays until what is made for it is removed.
///
/// # Errors
/// The API server refuses.
pub async fn add<R: Namespaced>(
    client: &Client,
    finalizer: &str,
    resource: &R,
) -> kube::Result<()> {
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    write(client, resource, &finalizers).await
}

/// Lets a resource go.
///
/// # Errors
/// The API server refuses.
pub async fn remove<R: Namespaced>(
    client: &Client,
    finalizer: &str,
    resource: &R,
) -> kube::Result<()> {
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.retain(|other| other != finalizer);
    write(client, resource, &finalizers).await
}

/// Writes the list as a whole, unless somebody has written the resource since it was read.
async fn write<R: Namespaced>(
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
