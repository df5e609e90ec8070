use std::time::Duration;

use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked whether the API server still trusts the webhook: whoever applies the manifest
/// anew takes the authority out.
const INTERVAL: Duration = Duration::from_secs(10);

/// Writes the authority that the webhook's certificate is signed by into its configuration, whenever it
/// is not there, for ever. For the leader.
pub(crate) async fn trust(client: Client, configuration: String, authority_pem: String) {
    let configurations = Api::all(client);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match trust_once(&configurations, &configuration, authority_pem.as_bytes()).await {
            Ok(false) => {}
            Ok(true) => tracing::info!(configuration, "the API server trusts the webhook"),
            Err(error) => {
                tracing::warn!(configuration, %error, "the API server does not trust the webhook");
            }
        }
    }
}

/// Answers whether something had to be changed.
async fn trust_once(
    configurations: &Api<MutatingWebhookConfiguration>,
    name: &str,
    authority: &[u8],
) -> kube::Result<bool> {
    let Some(found) = configurations.get_opt(name).await? else { return Ok(false) };
    let webhooks = found.webhooks.unwrap_or_default();
    let bundle = Some(ByteString(authority.to_vec()));
    if webhooks.iter().all(|webhook| webhook.client_config.ca_bundle == bundle) {
        return Ok(false);
    }
    // By name: the other fields of each are somebody else's.
    let webhooks: Vec<_> = webhooks
        .iter()
        .map(|webhook| json!({ "name": webhook.name, "clientConfig": { "caBundle": bundle } }))
        .collect();
    let patch = Patch::Strategic(json!({ "webhooks": webhooks }));
    configurations.patch(name, &PatchParams::default(), &patch).await?;
    Ok(true)
}
