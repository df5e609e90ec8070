//! Multus, where a cluster has it: pods ask it for networks by an annotation, and it calls the network
//! plugin as a NetworkAttachmentDefinition says.

mod annotation;
mod definitions;

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use http::StatusCode;
use kube::Client;

pub(crate) use annotation::{ANNOTATION, append};
pub(crate) use definitions::define;

/// API of NetworkAttachmentDefinitions.
const API: &str = "k8s.cni.cncf.io/v1";

/// The longest pause before the API server is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether the cluster has Multus' NetworkAttachmentDefinitions, as soon as the API server tells.
pub(crate) async fn is_installed(client: &Client) -> bool {
    let backoff = ExponentialBuilder::default()
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter();
    let asked = (|| ask(client)).retry(backoff).notify(|error, _| {
        tracing::warn!(%error, "cannot ask the API server for Multus");
    });
    asked.await.unwrap_or(false)
}

async fn ask(client: &Client) -> kube::Result<bool> {
    match client.list_api_group_resources(API).await {
        Ok(list) => {
            let mut resources = list.resources.iter();
            Ok(resources.any(|resource| resource.name == "network-attachment-definitions"))
        }
        // Of a group that is not there, the API server says so in plain text.
        Err(kube::Error::Api(status)) if status.code == StatusCode::NOT_FOUND.as_u16() => Ok(false),
        Err(error) => Err(error),
    }
}
