//! What there is of us in a cluster.

use k8s_openapi::api::{
    admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    core::v1::Node,
};
use kube::{
    Api, Client, Discovery, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    discovery::{ApiGroup, verbs},
};
use l2sces_custom_resources::{GROUP, SLICE_GROUP};
use serde::Serialize;

use super::{
    NAMESPACE, explained,
    object::{SELECTOR, list, shown},
    removal::{self, SHARED},
};
use crate::error::CliError;

/// What our labels and annotations of nodes begin with.
const PREFIX: &str = "l2sces.l2sm.io/";

/// Kinds that Kubernetes makes of others by itself, and takes away with them.
const DERIVED: [&str; 4] = ["Endpoints", "EndpointSlice", "Event", "ControllerRevision"];

/// Something that is there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Residue {
    /// Who has it: the cluster, or one of our services.
    pub(crate) place: &'static str,
    pub(crate) what: String,
    /// What about it is ours, or what to do.
    pub(crate) note: String,
}

impl Residue {
    pub(crate) fn new(
        place: &'static str,
        what: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { place, what: what.into(), note: note.into() }
    }
}

/// Everything of us that the API server knows, whoever made it.
pub(crate) async fn in_cluster(
    client: &Client,
    keeps_definitions: bool,
) -> Result<Vec<Residue>, CliError> {
    let mut residue = Vec::new();
    let mut add = |what: String, note: &str| residue.push(Residue::new("cluster", what, note));
    let is_shared = !removal::others_in_namespace(client).await?.is_empty();
    let discovery = Discovery::new(client.clone()).run().await;
    let discovery = discovery.map_err(|error| explained("the API server", error))?;
    for resource in listable(&discovery) {
        let is_custom = [GROUP, SLICE_GROUP].contains(&resource.group.as_str());
        let selector = (!is_custom).then_some(SELECTOR);
        let note = if is_custom { "custom resource" } else { "labelled as ours" };
        let all = list(client, &resource, selector).await?;
        let is_kept = |object: &DynamicObject| match resource.kind.as_str() {
            "CustomResourceDefinition" => keeps_definitions,
            "Namespace" | "NetworkPolicy" => {
                is_shared && SHARED.contains(&object.name_any().as_str())
            }
            _ => false,
        };
        // What Kubernetes has made of others by itself goes with them.
        let made = all.iter().filter(|object| object.owner_references().is_empty());
        made.filter(|object| !is_kept(object)).for_each(|object| add(shown(object), note));
        if resource.kind == "NetworkAttachmentDefinition" {
            let all = list(client, &resource, None).await?;
            for object in all.iter().filter(|object| calls_our_plugin(object)) {
                add(shown(object), "calls l2sces-cni");
            }
        }
    }
    for (node, key) in marks_of_nodes(client).await? {
        add(format!("Node {node}"), &format!("has {key}"));
    }
    for webhook in webhooks(client).await? {
        add(webhook, "calls our operator");
    }
    if removal::corefile(client).await?.is_some() {
        add("ConfigMap kube-system/coredns".to_owned(), "has the block of our zones");
    }
    residue.sort();
    residue.dedup_by(|one, other| one.what == other.what && one.note == other.note);
    Ok(residue)
}

fn listable(discovery: &Discovery) -> Vec<ApiResource> {
    let resources = discovery.groups().flat_map(ApiGroup::recommended_resources);
    let listable = resources.filter(|(_, able)| able.supports_operation(verbs::LIST));
    let listable = listable.map(|(resource, _)| resource);
    listable.filter(|resource| !DERIVED.contains(&resource.kind.as_str())).collect()
}

fn calls_our_plugin(definition: &DynamicObject) -> bool {
    let configuration = definition.data.pointer("/spec/config").and_then(|config| config.as_str());
    configuration.is_some_and(|configuration| configuration.contains("l2sces-cni"))
}

/// Our labels and annotations of nodes, each with its node.
async fn marks_of_nodes(client: &Client) -> Result<Vec<(String, String)>, CliError> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.map_err(|error| explained("nodes", error))?.items;
    let marks = nodes.iter().flat_map(|node| {
        let label = node.labels().keys().map(|key| format!("label {key}"));
        let annotation = node.annotations().keys().map(|key| format!("annotation {key}"));
        let ours = label.chain(annotation).filter(|mark| mark.contains(&format!(" {PREFIX}")));
        ours.map(|mark| (node.name_any(), mark))
    });
    Ok(marks.collect())
}

/// Webhooks that call a service of our namespace: without it they fail, and so does whatever they review.
async fn webhooks(client: &Client) -> Result<Vec<String>, CliError> {
    let is_ours = |config: &WebhookClientConfig| {
        config.service.as_ref().is_some_and(|service| service.namespace == NAMESPACE)
    };
    let failed = |error| explained("webhooks", error);
    let all = ListParams::default();
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let mutating = mutating.list(&all).await.map_err(failed)?.items.into_iter().filter(|found| {
        found.webhooks.iter().flatten().any(|webhook| is_ours(&webhook.client_config))
    });
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let validating = validating.list(&all).await.map_err(failed)?.items.into_iter();
    let validating = validating.filter(|found| {
        found.webhooks.iter().flatten().any(|webhook| is_ours(&webhook.client_config))
    });
    let mutating =
        mutating.map(|found| format!("MutatingWebhookConfiguration {}", found.name_any()));
    let validating =
        validating.map(|found| format!("ValidatingWebhookConfiguration {}", found.name_any()));
    Ok(mutating.chain(validating).collect())
}
