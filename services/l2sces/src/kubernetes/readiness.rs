//! Whether what was applied works.

use std::time::Duration;

use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    apps::v1::Deployment,
    core::v1::{ContainerStatus, Pod, Secret},
};
use kube::{Api, Client, api::ListParams};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{NAMESPACE, explained};
use crate::{error::CliError, progress::Progress};

/// What custom resources are carried out by.
const DEPLOYMENTS: [&str; 2] = ["sdn-controller", "operator"];

const WEBHOOK: &str = "l2sces";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// How long after the deadline a look may still last: one that is under way counts.
const LOOK: Duration = Duration::from_secs(10);

/// Repeats a look until it finds nothing that is missing, and tells meanwhile what it finds. The
/// deadline ends it between two looks, so that one is taken in any case.
pub(crate) async fn until_nothing(
    progress: &mut Progress,
    deadline: Instant,
    mut look: impl AsyncFnMut() -> Result<Vec<String>, CliError>,
) -> Result<(), CliError> {
    let mut last = String::from("no answer yet");
    let looking = async {
        loop {
            last = match look().await {
                Ok(missing) if missing.is_empty() => return true,
                Ok(missing) => missing.join("; "),
                // An API server may be away for a while.
                Err(error) => error.to_string(),
            };
            progress.show(&last);
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            sleep_until(deadline.min(now + PAUSE)).await;
        }
    };
    let is_done = timeout_at(deadline.max(Instant::now()) + LOOK, looking).await;
    progress.clear();
    if matches!(is_done, Ok(true)) { Ok(()) } else { Err(CliError::TimedOut(last)) }
}

/// Waits until the sdn-controller, the operator and its webhook are ready.
pub(crate) async fn until_ready(
    client: &Client,
    progress: &mut Progress,
    deadline: Instant,
) -> Result<(), CliError> {
    until_nothing(progress, deadline, async || {
        let mut missing = Vec::new();
        for name in DEPLOYMENTS {
            missing.extend(missing_of_deployment(client, name).await?);
        }
        missing.extend(missing_of_webhook(client).await?);
        Ok(missing)
    })
    .await
}

/// The token of the slice-manager's service account, and the authority of the API server (PEM), once
/// Kubernetes has made them.
pub(crate) async fn token(
    client: &Client,
    secret: &str,
    progress: &mut Progress,
    deadline: Instant,
) -> Result<(String, String), CliError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let mut found = None;
    until_nothing(progress, deadline, async || {
        let read = secrets.get(secret).await;
        let data = read.map_err(|error| explained(&format!("Secret {secret}"), error))?.data;
        let text = |key: &str| {
            let bytes = data.as_ref()?.get(key)?.0.clone();
            String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
        };
        found = text("token").zip(text("ca.crt"));
        let missing = format!("Secret {secret}: Kubernetes has not written its token yet");
        Ok(found.is_none().then_some(missing).into_iter().collect())
    })
    .await?;
    found.ok_or_else(|| CliError::Failed(format!("Secret {secret} has no token")))
}

async fn missing_of_deployment(client: &Client, name: &str) -> Result<Option<String>, CliError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let subject = format!("Deployment {name}");
    let found = deployments.get(name).await.map_err(|error| explained(&subject, error))?;
    let wanted = found.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let status = found.status.unwrap_or_default();
    let is_current = status.observed_generation >= found.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted;
    let available = status.available_replicas.unwrap_or(0);
    if is_current && available >= wanted {
        return Ok(None);
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = pods.list(&ListParams::default().labels(&format!("app={name}"))).await;
    let pods = pods.map_err(|error| explained(&subject, error))?;
    let reason = pods.items.iter().find_map(trouble).map(|reason| format!(": {reason}"));
    let reason = reason.unwrap_or_default();
    Ok(Some(format!("{subject}: {available} of {wanted} replicas are available{reason}")))
}

/// Why a pod does not run, if it says so.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let of_container = containers.into_iter().flatten().flatten().find_map(trouble_of_container);
    let unscheduled = || {
        let mut conditions = status.conditions.iter().flatten();
        let condition = conditions.find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
        condition.message.clone()
    };
    Some(format!("pod {name}: {}", of_container.or_else(unscheduled)?))
}

fn trouble_of_container(status: &ContainerStatus) -> Option<String> {
    if status.ready {
        return None;
    }
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let waiting = waiting.and_then(|waiting| {
        let reason = waiting.reason.as_deref()?;
        let is_usual = ["ContainerCreating", "PodInitializing"].contains(&reason);
        let message = waiting.message.as_deref().unwrap_or("no reason given");
        (!is_usual).then(|| format!("{reason}: {message}"))
    });
    let ended = || {
        let ended = status.last_state.as_ref()?.terminated.as_ref()?;
        Some(format!("{} has ended with exit code {}", status.name, ended.exit_code))
    };
    waiting.or_else(ended)
}

async fn missing_of_webhook(client: &Client) -> Result<Option<String>, CliError> {
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let found = webhooks.get(WEBHOOK).await;
    let found = found.map_err(|error| explained("the webhook", error))?.webhooks;
    let is_trusted = found
        .iter()
        .flatten()
        .all(|webhook| webhook.client_config.ca_bundle.as_ref().is_some_and(|ca| !ca.0.is_empty()));
    Ok((!is_trusted)
        .then(|| format!("webhook {WEBHOOK}: no operator has said how it is known yet")))
}
