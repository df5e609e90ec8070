use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    runtime::{Controller, controller::Action},
};
use l2sces_custom_resources::L2Network;
use l2sces_kubernetes::watch_config;
use serde_json::{Value, json};

/// Whose fields the definitions' are.
const FIELD_MANAGER: &str = "l2sces-operator";
/// How often a definition is written again, though nothing has happened that was seen.
const RENEWAL: Duration = Duration::from_secs(300);
/// How long to wait after a definition could not be written.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps a NetworkAttachmentDefinition for every network, of the same name and namespace, for ever. For
/// the leader, where Multus is. Definitions go with their networks: those own them.
pub(crate) async fn define(client: Client) {
    Controller::new(Api::<L2Network>::all(client.clone()), watch_config())
        .run(apply, |_, _, _| Action::requeue(RETRY), Arc::new(client))
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                tracing::warn!(%error, "a NetworkAttachmentDefinition is not as it should be");
            }
        })
        .await;
}

async fn apply(network: Arc<L2Network>, client: Arc<Client>) -> kube::Result<Action> {
    if network.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (namespace, name) = (network.namespace().unwrap_or_default(), network.name_any());
    let kind = GroupVersionKind::gvk("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition");
    let resource = ApiResource::from_gvk_with_plural(&kind, "network-attachment-definitions");
    let definitions: Api<DynamicObject> =
        Api::namespaced_with((*client).clone(), &namespace, &resource);
    // Not by force: a definition of that name may be somebody else's, and stays theirs.
    let parameters = PatchParams::apply(FIELD_MANAGER);
    definitions.patch(&name, &parameters, &Patch::Apply(definition(&network))).await?;
    Ok(Action::requeue(RENEWAL))
}

/// The definition by which Multus calls the plugin for a network.
fn definition(network: &L2Network) -> Value {
    let (namespace, name) = (network.namespace().unwrap_or_default(), network.name_any());
    let configuration = json!({
        "cniVersion": "1.0.0",
        "name": name,
        "type": "l2sces-cni",
        "network": name,
        "namespace": namespace,
        // What a pod wants is handed on.
        "capabilities": { "ips": true, "mac": true },
    });
    // Without a right that some clusters ask for, it cannot hold up its network.
    let owner = OwnerReference {
        block_owner_deletion: None,
        ..network.controller_owner_ref(&()).unwrap_or_default()
    };
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [owner],
        },
        "spec": { "config": configuration.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_names_its_network_and_goes_with_it() {
        let network: L2Network = serde_json::from_value(json!({
            "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "L2Network",
            "metadata": {"name": "blue", "namespace": "shop", "uid": "u1"},
            "spec": {"type": "vnet"},
        }))
        .unwrap();
        let definition = definition(&network);
        let config = definition["spec"]["config"].as_str().unwrap();
        let config: Value = serde_json::from_str(config).unwrap();
        assert_eq!((&config["network"], &config["namespace"]), (&json!("blue"), &json!("shop")));
        let owner = &definition["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], "u1");
        assert!(owner.get("blockOwnerDeletion").is_none(), "{owner}");
    }
}
