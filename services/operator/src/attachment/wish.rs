use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use l2sces_custom_resources::{
    L2Network, LABEL_ATTACHED, NETWORKS_ANNOTATION, NetworkSelection, parse_networks,
};
use l2sces_grpc::failed_precondition;
use l2sces_model::{InterfaceName, MacAddress, Name};
use tonic::Status;

use super::{
    directory::Directory,
    request::{Attachment, Selection},
};

/// A port that a pod is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The `L2Network`'s own name.
    pub(super) resource: String,
    pub(super) slice: Name,
    pub(super) network: Name,
    pub(super) interface: InterfaceName,
    pub(super) address: Option<IpAddr>,
    pub(super) mac: Option<MacAddress>,
}

/// What is asked for a network, before that is looked up.
struct Asked {
    network: String,
    interface: Option<InterfaceName>,
    address: Option<IpAddr>,
    mac: Option<MacAddress>,
}

/// The ports that an attachment asks for, in the order of their interfaces.
///
/// # Errors
/// The pod is gone or has another sandbox, asks for what there is not, or nobody can tell.
pub(super) async fn wishes(
    cluster: &Name,
    directory: &dyn Directory,
    attachment: &Attachment,
    pod: &Pod,
) -> Result<Vec<Wish>, Status> {
    let asked = asked(attachment, pod)?;
    let interfaces = interfaces(&asked, attachment.first_interface.as_ref())?;
    let mut wishes = Vec::with_capacity(asked.len());
    for (asked, interface) in asked.into_iter().zip(interfaces) {
        let namespace = &attachment.pod.namespace;
        let network = directory.network(namespace, &asked.network).await?;
        let network = usable(network, namespace, &asked.network)?;
        wishes.push(Wish {
            slice: network.slice_name(cluster),
            network: network.network_name(),
            resource: asked.network,
            interface,
            address: asked.address,
            mac: asked.mac,
        });
    }
    Ok(wishes)
}

/// The pod that an attachment speaks of, if it is still that one and on that node.
///
/// # Errors
/// It is not, or nobody can tell.
pub(super) async fn find_pod(
    directory: &dyn Directory,
    attachment: &Attachment,
) -> Result<Pod, Status> {
    let Attachment { pod: named, node, .. } = attachment;
    let (namespace, name) = (&named.namespace, &named.name);
    let gone = || Status::aborted(format!("pod {namespace}/{name} is gone"));
    let pod = directory.pod(namespace, name).await?.ok_or_else(gone)?;
    if !named.uid.is_empty() && pod.uid().as_ref() != Some(&named.uid) {
        return Err(gone());
    }
    let its_node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    if its_node != Some(node) {
        let message = format!("pod {namespace}/{name} is not on node {node}");
        return Err(Status::permission_denied(message));
    }
    Ok(pod)
}

/// What is asked for, network by network.
fn asked(attachment: &Attachment, pod: &Pod) -> Result<Vec<Asked>, Status> {
    let namespace = &attachment.pod.namespace;
    if let Selection::One { network, address, mac } = &attachment.selection {
        check_namespace(namespace, &network.name, Some(network.namespace.as_str()))?;
        let network = network.name.clone();
        return Ok(vec![Asked { network, interface: None, address: *address, mac: *mac }]);
    }
    let is_attached = pod.labels().get(LABEL_ATTACHED).is_some_and(|value| value == "true");
    let annotation = pod.annotations().get(NETWORKS_ANNOTATION);
    let (true, Some(annotation)) = (is_attached, annotation) else { return Ok(Vec::new()) };
    let selections = parse_networks(annotation)
        .map_err(|error| failed_precondition("annotation", NETWORKS_ANNOTATION, error))?;
    let asked = selections.into_iter().map(|selection| {
        let NetworkSelection { name, address, interface_name, namespace: other } = selection;
        check_namespace(namespace, &name, other.as_deref())?;
        Ok(Asked { network: name, interface: interface_name, address, mac: None })
    });
    asked.collect()
}

/// A pod is attached to networks of its own namespace only.
fn check_namespace(own: &str, network: &str, other: Option<&str>) -> Result<(), Status> {
    match other.filter(|other| !other.is_empty() && *other != own) {
        None => Ok(()),
        Some(other) => Err(failed_precondition(
            "network",
            format!("{other}/{network}"),
            format!("is not in the pod's namespace {own}"),
        )),
    }
}

/// A network that pods can be attached to.
///
/// # Errors
/// There is none, or it is not, or no more, what it is to be: another resource may be that network.
fn usable(network: Option<L2Network>, namespace: &str, name: &str) -> Result<L2Network, Status> {
    let refused =
        |reason: &str| failed_precondition("network", format!("{namespace}/{name}"), reason);
    let network = network.ok_or_else(|| refused("does not exist"))?;
    if network.metadata.deletion_timestamp.is_some() {
        return Err(refused("is being deleted"));
    }
    let status = network.status.as_ref();
    if status.and_then(|status| status.vni).is_none() {
        let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        let reason = ready.map_or("", |condition| condition.message.as_str());
        return Err(refused(format!("is not in place: {reason}").trim_end_matches([':', ' '])));
    }
    Ok(network)
}

/// The names of the interfaces: those that are wished for, and for the others the first that is
/// given, then net1 and so on.
fn interfaces(
    asked: &[Asked],
    first: Option<&InterfaceName>,
) -> Result<Vec<InterfaceName>, Status> {
    let mut used: BTreeSet<String> = asked
        .iter()
        .filter_map(|asked| asked.interface.as_ref().map(ToString::to_string))
        .collect();
    let mut names = Vec::with_capacity(asked.len());
    let mut number = 0;
    for (at, asked) in asked.iter().enumerate() {
        let given = first.filter(|name| at == 0 && !used.contains(name.as_str()));
        let name = match asked.interface.as_ref().or(given) {
            Some(name) => name.clone(),
            None => loop {
                number += 1;
                let name = format!("net{number}");
                if !used.contains(&name) {
                    break name.parse().map_err(|_| Status::internal("too many interfaces"))?;
                }
            },
        };
        used.insert(name.to_string());
        names.push(name);
    }
    Ok(names)
}
