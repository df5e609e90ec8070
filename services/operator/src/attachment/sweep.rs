use std::{collections::HashSet, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;

use super::{ports::Ports, wish::has_ended};

/// How often it is looked for ports of pods that are gone. A network plugin removes them at once: this
/// is for those that it could not ask for.
const INTERVAL: Duration = Duration::from_secs(30);
/// How many pods the API server is asked for at a time.
const PAGE: u32 = 500;

/// Why ports could not be looked at.
#[derive(Debug, Error)]
enum SweepError {
    /// The sdn-controller does not answer.
    #[error("the sdn-controller: {}", .0.message())]
    Controller(#[from] Status),
    /// The API server does not answer.
    #[error("the API server: {0}")]
    Kubernetes(#[from] kube::Error),
}

/// Removes the ports of pods that are gone or have ended, for ever. For the leader.
pub(crate) async fn sweep(client: Client, ports: Ports) {
    let pods = Api::all(client);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match sweep_once(&pods, &ports).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed ports of pods that are gone"),
            Err(error) => tracing::warn!(%error, "cannot look for ports of pods that are gone"),
        }
    }
}

async fn sweep_once(pods: &Api<Pod>, ports: &Ports) -> Result<usize, SweepError> {
    // The ports first: the pod of each is older than its port, and so in what is listed after it.
    let mut left = ports.all().await?;
    left.retain(|port| !port.pod_uid.is_empty());
    if left.is_empty() {
        return Ok(0);
    }
    let alive = living(pods).await?;
    left.retain(|port| !alive.contains(&port.pod_uid));
    let removed = left.len();
    for port in left {
        ports.delete(port.key, &port.sandbox_id).await?;
    }
    Ok(removed)
}

/// The uids of all pods that have not ended. Not out of the API server's cache, which may be older than
/// a pod.
async fn living(pods: &Api<Pod>) -> kube::Result<HashSet<String>> {
    let mut uids = HashSet::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = pods.list(&parameters).await?;
        uids.extend(page.items.iter().filter(|pod| !has_ended(pod)).filter_map(ResourceExt::uid));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(uids),
        }
    }
}
