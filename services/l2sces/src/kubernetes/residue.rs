//! What there is of us in a cluster.

use std::time::Duration;

use k8s_openapi::api::{
    admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    core::v1::Node,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersion,
    discovery::{pinned_group, verbs},
};
use l2sces_custom_resources::{GROUP, SLICE_GROUP};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    Inventory, NAMESPACE, explained, is_shared,
    object::{SELECTOR, list, shown},
    removal,
};
use crate::error::CliError;

/// What our labels and annotations of nodes begin with.
const PREFIX: &str = "l2sces.l2sm.io/";

/// Longest that a group may take to say what it has: the client asks one that is unavailable again, for minutes.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// What a search has found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) residue: Vec<Residue>,
    /// Where it could not look, and why not.
    pub(crate) unseen: Vec<String>,
}

impl Findings {
    /// Takes what a look has found, or why there was none.
    pub(crate) fn add(&mut self, looked: Result<Vec<Residue>, impl ToString>) {
        match looked {
            Ok(found) => self.residue.extend(found),
            Err(why) => self.unseen.push(why.to_string()),
        }
    }
}

/// Everything of us that the API server knows, whoever made it.
///
/// # Errors
/// The API server does not say what it knows. What a single part of it does not say is not seen.
pub(crate) async fn in_cluster(
    client: &Client,
    keeps_definitions: bool,
) -> Result<Findings, CliError> {
    let inventory = Inventory::new()?;
    let is_shared_with_others = !inventory.others(client).await?.is_empty();
    let is_control = removal::is_control_cluster(client).await?;
    let is_kept = |object: &DynamicObject, resource: &ApiResource| match resource.kind.as_str() {
        "CustomResourceDefinition" => {
            keeps_definitions || is_control && object.name_any().ends_with(SLICE_GROUP)
        }
        _ if resource.group == SLICE_GROUP => is_control,
        _ => is_shared_with_others && is_shared(object),
    };
    let mut findings = Findings::default();
    for group in groups(client).await? {
        match listable(client, &group).await {
            Ok(resources) => {
                for resource in resources {
                    findings.add(of_kind(client, &resource, &inventory, &is_kept).await);
                }
            }
            Err(why) => findings.unseen.push(why.to_string()),
        }
    }
    findings.add(marks_of_nodes(client).await);
    let mutating = webhooks(client, |found: &MutatingWebhookConfiguration| {
        found.webhooks.iter().flatten().any(|webhook| calls_us(&webhook.client_config))
    });
    findings.add(mutating.await);
    let validating = webhooks(client, |found: &ValidatingWebhookConfiguration| {
        found.webhooks.iter().flatten().any(|webhook| calls_us(&webhook.client_config))
    });
    findings.add(validating.await);
    findings.add(corefile(client).await);
    findings.residue.sort();
    findings.residue.dedup_by(|one, other| one.what == other.what && one.note == other.note);
    Ok(findings)
}

/// The API server's groups, each in the version that it prefers.
async fn groups(client: &Client) -> Result<Vec<GroupVersion>, CliError> {
    let groups = client.list_api_groups().await;
    let groups = groups.map_err(|error| explained("the API server", error))?.groups;
    let preferred = groups.into_iter().filter_map(|group| {
        let version = group.preferred_version.or_else(|| group.versions.into_iter().next())?;
        version.group_version.parse().ok()
    });
    Ok(std::iter::once(GroupVersion::gv("", "v1")).chain(preferred).collect())
}

/// What can be listed of a group. One that another server answers for may be unavailable.
async fn listable(client: &Client, group: &GroupVersion) -> Result<Vec<ApiResource>, CliError> {
    let subject = format!("API group {}", group.api_version());
    let Ok(found) = timeout(PATIENCE, pinned_group(client, group)).await else {
        return Err(CliError::Failed(format!("{subject}: it is unavailable")));
    };
    let found = found.map_err(|error| explained(&subject, error))?;
    let resources = found.recommended_resources().into_iter();
    let listable = resources.filter(|(_, able)| able.supports_operation(verbs::LIST));
    let listable = listable.map(|(resource, _)| resource);
    Ok(listable.filter(|resource| !DERIVED.contains(&resource.kind.as_str())).collect())
}

/// What is ours of a kind.
async fn of_kind(
    client: &Client,
    resource: &ApiResource,
    inventory: &Inventory,
    is_kept: impl Fn(&DynamicObject, &ApiResource) -> bool,
) -> Result<Vec<Residue>, CliError> {
    let is_custom = [GROUP, SLICE_GROUP].contains(&resource.group.as_str());
    let selector = (!is_custom).then_some(SELECTOR);
    let note = |object: &DynamicObject| match inventory.has(object) {
        _ if resource.group == SLICE_GROUP => "slices may be made of it: it is not removed",
        _ if is_custom => "custom resource",
        true => "labelled as ours",
        false => "labelled as ours, but joining makes no such object: it is not removed",
    };
    let all = list(client, resource, None, selector).await?;
    // What Kubernetes has made of others by itself goes with them.
    let made = all.iter().filter(|object| object.owner_references().is_empty());
    let made = made.filter(|object| !is_kept(object, resource));
    let mut found: Vec<_> =
        made.map(|object| Residue::new("cluster", shown(object), note(object))).collect();
    if resource.kind == "NetworkAttachmentDefinition" {
        let all = list(client, resource, None, None).await?;
        let calling = all.iter().filter(|object| calls_our_plugin(object));
        found.extend(
            calling.map(|object| Residue::new("cluster", shown(object), "calls l2sces-cni")),
        );
    }
    Ok(found)
}

fn calls_our_plugin(definition: &DynamicObject) -> bool {
    let configuration = definition.data.pointer("/spec/config").and_then(|config| config.as_str());
    configuration.is_some_and(|configuration| configuration.contains("l2sces-cni"))
}

/// Our labels and annotations of nodes.
async fn marks_of_nodes(client: &Client) -> Result<Vec<Residue>, CliError> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.map_err(|error| explained("nodes", error))?.items;
    let marks = nodes.iter().flat_map(|node| {
        let label = node.labels().keys().map(|key| format!("label {key}"));
        let annotation = node.annotations().keys().map(|key| format!("annotation {key}"));
        let ours = label.chain(annotation).filter(|mark| mark.contains(&format!(" {PREFIX}")));
        let node = format!("Node {}", node.name_any());
        ours.map(move |mark| Residue::new("cluster", node.clone(), format!("has {mark}")))
    });
    Ok(marks.collect())
}

/// Webhooks that call a service of our namespace: without it they fail, and so does whatever they review.
async fn webhooks<K>(
    client: &Client,
    is_ours: impl Fn(&K) -> bool,
) -> Result<Vec<Residue>, CliError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let all = Api::<K>::all(client.clone()).list(&ListParams::default()).await;
    let all = all.map_err(|error| explained(&K::plural(&()), error))?.items;
    let residue = |found: &K| {
        let what = format!("{} {}", K::kind(&()), found.name_any());
        Residue::new("cluster", what, "calls our operator")
    };
    Ok(all.iter().filter(|found| is_ours(found)).map(residue).collect())
}

fn calls_us(config: &WebhookClientConfig) -> bool {
    config.service.as_ref().is_some_and(|service| service.namespace == NAMESPACE)
}

async fn corefile(client: &Client) -> Result<Vec<Residue>, CliError> {
    let corefile = removal::corefile(client).await?;
    let residue =
        || Residue::new("cluster", "ConfigMap kube-system/coredns", "has the block of our zones");
    Ok(corefile.is_some().then(residue).into_iter().collect())
}
