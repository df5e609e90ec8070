//! Removing what a cluster was given, in an order in which everything can still be cleaned up. Each step
//! looks at what is there, so that all of it may be done again after it was interrupted.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Node, Pod, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use l2sces_custom_resources::{
    COREFILE_CONFIG_MAP, COREFILE_KEY, COREFILE_NAMESPACE, FINALIZER, GATEWAY_NODE_LABEL,
    L2Network, NetworkEdgeDevice, Overlay, PART_OF_LABEL, PART_OF_US, ProviderProfile,
    SWITCH_NODE_LABEL, SliceNetwork, SliceOverlay, without_stub_zones,
};
use serde_json::{Value, json};

use super::{
    Inventory, NAMESPACE,
    configuration::FORMER_ISSUER,
    explained,
    object::{SELECTOR, api, list, shown},
};
use crate::error::CliError;

/// What runs on nodes, and takes what it has made away when it ends.
const ON_NODES: &str = "app in (sps-agent, ned-agent, openvswitch, cni)";

/// The kinds of custom resources that a cluster has of its own. Those that slices are made of are in the
/// control cluster, and to delete one takes its slice from all others.
fn own_kinds() -> [ApiResource; 3] {
    [
        ApiResource::erase::<L2Network>(&()),
        ApiResource::erase::<NetworkEdgeDevice>(&()),
        ApiResource::erase::<Overlay>(&()),
    ]
}

/// What custom resources of its own a cluster has.
pub(crate) async fn custom_resources(client: &Client) -> Result<Vec<DynamicObject>, CliError> {
    let mut all = Vec::new();
    for resource in own_kinds() {
        all.extend(list(client, &resource, None, None).await?);
    }
    Ok(all)
}

/// Asks for the deletion of all custom resources of the cluster's own, and says which are there still, and why.
pub(crate) async fn delete_custom_resources(client: &Client) -> Result<Vec<String>, CliError> {
    let mut left = Vec::new();
    for object in custom_resources(client).await? {
        if object.metadata.deletion_timestamp.is_none() {
            let objects = api(client, &object)?;
            gone(objects.delete(&object.name_any(), &DeleteParams::default()).await, &object)?;
        }
        left.push(format!("{}{}", shown(&object), reason(&object)));
    }
    if !left.is_empty() && !operator_exists(client).await? {
        left.push("there is no operator that could clean up".to_owned());
    }
    Ok(left)
}

/// What a custom resource says of why it is not ready.
fn reason(object: &DynamicObject) -> String {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    let message = ready.and_then(|condition| condition["message"].as_str()).unwrap_or_default();
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// Takes our finalizer off all custom resources of the cluster's own: what is made for them stays.
pub(crate) async fn give_up_custom_resources(client: &Client) -> Result<(), CliError> {
    for object in custom_resources(client).await? {
        let others = object.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER);
        let others: Vec<_> = others.collect();
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": others } }));
        let objects = api(client, &object)?;
        let patched = objects.patch(&object.name_any(), &PatchParams::default(), &patch).await;
        found(patched, &shown(&object))?;
    }
    Ok(())
}

/// Whether there is an operator, which takes labels off nodes when nothing is left there.
pub(crate) async fn operator_exists(client: &Client) -> Result<bool, CliError> {
    has_deployment(client, "operator").await
}

/// Whether slices are made of the cluster's custom resources, by a slice-operator.
pub(crate) async fn is_control_cluster(client: &Client) -> Result<bool, CliError> {
    has_deployment(client, "slice-operator").await
}

/// Whether the definitions of what slices are made of stay: there is a slice-operator, or something that one
/// would find when it is there again.
pub(crate) async fn keeps_slices(client: &Client) -> Result<bool, CliError> {
    if is_control_cluster(client).await? {
        return Ok(true);
    }
    let kinds = [
        ApiResource::erase::<SliceNetwork>(&()),
        ApiResource::erase::<SliceOverlay>(&()),
        ApiResource::erase::<ProviderProfile>(&()),
    ];
    for resource in kinds {
        if !list(client, &resource, None, None).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn has_deployment(client: &Client, name: &str) -> Result<bool, CliError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let found = deployments.get_opt(name).await;
    Ok(found.map_err(|error| explained(&format!("Deployment {name}"), error))?.is_some())
}

/// Nodes with our labels.
pub(crate) async fn labelled_nodes(client: &Client) -> Result<Vec<Node>, CliError> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let mut nodes = nodes.map_err(|error| explained("nodes", error))?.items;
    let ours = [SWITCH_NODE_LABEL, GATEWAY_NODE_LABEL];
    nodes.retain(|node| ours.iter().any(|label| node.labels().contains_key(*label)));
    Ok(nodes)
}

/// Takes our labels off nodes.
pub(crate) async fn unlabel_nodes(client: &Client) -> Result<(), CliError> {
    let nodes: Api<Node> = Api::all(client.clone());
    for node in labelled_nodes(client).await? {
        let labels = json!({ SWITCH_NODE_LABEL: null, GATEWAY_NODE_LABEL: null });
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        let patched = nodes.patch(&node.name_any(), &PatchParams::default(), &patch).await;
        found(patched, &format!("node {}", node.name_any()))?;
    }
    Ok(())
}

/// Pods on nodes that have not ended.
pub(crate) async fn pods_on_nodes(client: &Client) -> Result<Vec<String>, CliError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = pods.list(&ListParams::default().labels(ON_NODES)).await;
    let pods = pods.map_err(|error| explained("pods", error))?.items;
    let pod = |pod: &Pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        format!("pod {} on node {node} has not ended", pod.name_any())
    };
    Ok(pods.iter().map(pod).collect())
}

/// Gives up pods of ours that have been told to end: nothing is heard of them when their node is away.
pub(crate) async fn give_up_pods(client: &Client) -> Result<(), CliError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let ours = pods.list(&ListParams::default().labels(SELECTOR)).await;
    let mut ours = ours.map_err(|error| explained("pods", error))?.items;
    ours.retain(|pod| pod.metadata.deletion_timestamp.is_some());
    for pod in ours {
        let name = pod.name_any();
        let deleted = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
        found(deleted, &format!("pod {name}"))?;
    }
    Ok(())
}

/// All of ours of a kind.
pub(crate) async fn ours(
    client: &Client,
    inventory: &Inventory,
    resource: &ApiResource,
) -> Result<Vec<DynamicObject>, CliError> {
    let mut labelled = list(client, resource, None, Some(SELECTOR)).await?;
    labelled.retain(|object| inventory.has(object));
    Ok(labelled)
}

/// Asks for the deletion of an object and of what was made for it; it is there until that is gone.
pub(crate) async fn delete(client: &Client, object: &DynamicObject) -> Result<(), CliError> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let deleted =
        api(client, object)?.delete(&object.name_any(), &DeleteParams::foreground()).await;
    gone(deleted, object)
}

/// Deletes the Secret with the authority's key that an earlier version has made; whether there was one.
pub(crate) async fn delete_former_issuer(client: &Client) -> Result<bool, CliError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let what = format!("Secret {FORMER_ISSUER}");
    let Some(found) =
        secrets.get_opt(FORMER_ISSUER).await.map_err(|error| explained(&what, error))?
    else {
        return Ok(false);
    };
    let is_ours = found.labels().get(PART_OF_LABEL).is_some_and(|whole| whole == PART_OF_US);
    if is_ours {
        let deleted = secrets.delete(FORMER_ISSUER, &DeleteParams::default()).await;
        self::found(deleted, &what)?;
    }
    Ok(is_ours)
}

/// The cluster's Corefile, if it has our block: as it is, and as it is without.
pub(crate) async fn corefile(client: &Client) -> Result<Option<(ConfigMap, String)>, CliError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), COREFILE_NAMESPACE);
    let map = maps.get_opt(COREFILE_CONFIG_MAP).await;
    let Some(map) = map.map_err(|error| explained("the Corefile", error))? else { return Ok(None) };
    let text = map.data.as_ref().and_then(|data| data.get(COREFILE_KEY));
    let without = text.map(|text| (without_stub_zones(text), text));
    let ours = without.filter(|(without, text)| without != *text).map(|(without, _)| without);
    Ok(ours.map(|without| (map, without)))
}

/// Takes our block out of the Corefile. The operator must be gone: it would write it again.
pub(crate) async fn restore_corefile(client: &Client) -> Result<(), CliError> {
    let Some((map, without)) = corefile(client).await? else { return Ok(()) };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), COREFILE_NAMESPACE);
    // Refused if somebody has written it since it was read.
    let patch = json!({
        "metadata": { "resourceVersion": map.meta().resource_version },
        "data": { COREFILE_KEY: without },
    });
    let patch = Patch::Merge(patch);
    let patched = maps.patch(COREFILE_CONFIG_MAP, &PatchParams::default(), &patch).await;
    patched.map(drop).map_err(|error| explained("the Corefile", error))
}

/// That of a deletion: what is gone already is as well.
fn gone<T>(deleted: kube::Result<T>, object: &DynamicObject) -> Result<(), CliError> {
    found(deleted, &shown(object))
}

/// That of a call on something that may have gone meanwhile.
fn found<T>(answer: kube::Result<T>, subject: &str) -> Result<(), CliError> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(explained(subject, error)),
        Ok(_) => Ok(()),
    }
}
