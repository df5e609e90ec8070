use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use l2sces_custom_resources::{
    L2Network, LABEL_APP, LABEL_ATTACHED, NETWORKS_ANNOTATION, NetworkSelection, parse_networks,
};
use l2sces_grpc::failed_precondition;
use l2sces_model::{HostAddress, InterfaceName, MacAddress, Name};
use l2sces_proto::fabric::v1::{NamespaceAttachment, Port, port};
use tonic::Status;

use super::{
    directory::Directory,
    ports::version,
    request::{Attachment, Selection},
};
use crate::plan::slice_in_use;

/// A port that a pod is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The `L2Network`'s own name, and its uid.
    pub(super) resource: String,
    pub(super) resource_uid: String,
    pub(super) slice: Name,
    pub(super) network: Name,
    pub(super) interface: InterfaceName,
    pub(super) address: Option<HostAddress>,
    pub(super) mac: Option<MacAddress>,
}

impl Wish {
    /// The port that it comes to.
    pub(super) fn port(&self, attachment: &Attachment, pod: &Pod) -> Port {
        let uid = pod.uid().unwrap_or_default();
        Port {
            slice: self.slice.to_string(),
            network: self.network.to_string(),
            name: Name::standing_for(&attachment.pod.name).to_string(),
            version: Some(version(&uid, &attachment.sandbox_id, attachment.attempt)),
            node: Name::standing_for(&attachment.node).to_string(),
            attachment: Some(port::Attachment::Namespace(NamespaceAttachment {
                path: attachment.namespace_path.clone(),
                interface_name: self.interface.to_string(),
                attachment_id: attachment.sandbox_id.clone(),
            })),
            mac: self.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            max_learned_addresses: 0,
            alias: alias(pod).map(|alias| alias.to_string()).unwrap_or_default(),
        }
    }
}

/// The other name that a pod's label gives it in the DNS. Values of labels need be no names, and a pod
/// must not be kept from starting by one that is none.
fn alias(pod: &Pod) -> Option<Name> {
    let value = pod.labels().get(LABEL_APP).filter(|value| !value.is_empty())?;
    Some(Name::standing_for(value))
}

/// What is asked for a network, before that is looked up.
struct Asked {
    network: String,
    interface: Option<InterfaceName>,
    address: Option<HostAddress>,
    mac: Option<MacAddress>,
}

/// The ports that an attachment asks for, in the order of their interfaces.
///
/// # Errors
/// The pod asks for what there is not, or nobody can tell.
pub(super) async fn wishes(
    cluster: &Name,
    directory: &dyn Directory,
    attachment: &Attachment,
    pod: &Pod,
) -> Result<Vec<Wish>, Status> {
    let asked = asked(attachment, pod)?;
    let interfaces = interfaces(&asked, attachment.needed_interface.as_ref())?;
    let mut wishes = Vec::with_capacity(asked.len());
    for (asked, interface) in asked.into_iter().zip(interfaces) {
        let namespace = &attachment.pod.namespace;
        let network = directory.network(namespace, &asked.network).await?;
        let network = usable(network, namespace, &asked.network)?;
        wishes.push(Wish {
            slice: slice_in_use(cluster, &network),
            network: network.network_name(),
            resource: asked.network,
            resource_uid: network.uid().unwrap_or_default(),
            interface,
            // In a network without addresses of its own, pods have those that they choose, if they say all
            // of it; they were told so when they were made.
            address: asked
                .address
                .filter(|address| has_addresses(&network) || address.prefix_len().is_some()),
            mac: asked.mac,
        });
    }
    Ok(wishes)
}

/// Whether the networks that were asked for are still there: none of them has been deleted since, and be
/// it that there is another of its name.
///
/// # Errors
/// Nobody can tell.
pub(super) async fn are_still_there(
    directory: &dyn Directory,
    attachment: &Attachment,
    wishes: &[Wish],
) -> Result<bool, Status> {
    for wish in wishes {
        let network = directory.network(&attachment.pod.namespace, &wish.resource).await?;
        let is_it = |network: &L2Network| {
            network.metadata.deletion_timestamp.is_none()
                && network.uid().unwrap_or_default() == wish.resource_uid
        };
        if !network.as_ref().is_some_and(is_it) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The pod that an attachment speaks of, if it is still that one, has not ended, and is on that node.
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
    let is_another = !named.uid.is_empty() && pod.uid().as_ref() != Some(&named.uid);
    if is_another || has_ended(&pod) {
        return Err(gone());
    }
    let its_node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    if its_node != Some(node) {
        let message = format!("pod {namespace}/{name} is not on node {node}");
        return Err(Status::permission_denied(message));
    }
    Ok(pod)
}

/// Whether all that a pod ran is over: then it has no ports, though its sandbox may still be there.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
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

fn has_addresses(network: &L2Network) -> bool {
    network.spec.network_cidr.as_ref().is_some_and(|cidr| !cidr.is_empty())
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

/// The names of the interfaces: those that are wished for; for the first of the others the one that the
/// runtime asks for, then net1 and so on.
///
/// # Errors
/// The runtime asks for a name, and all interfaces are to have others: it would find no address of the pod.
fn interfaces(
    asked: &[Asked],
    needed: Option<&InterfaceName>,
) -> Result<Vec<InterfaceName>, Status> {
    let mut used: BTreeSet<String> = asked
        .iter()
        .filter_map(|asked| asked.interface.as_ref().map(ToString::to_string))
        .collect();
    let mut names = Vec::with_capacity(asked.len());
    let mut number = 0;
    for asked in asked {
        let needed = needed.filter(|name| !used.contains(name.as_str()));
        let name = match asked.interface.as_ref().or(needed) {
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
    match needed.filter(|name| !asked.is_empty() && !used.contains(name.as_str())) {
        None => Ok(names),
        Some(name) => Err(failed_precondition(
            "annotation",
            NETWORKS_ANNOTATION,
            format!(
                "must name an interface {name}, or leave one without a name: the pod has no other"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use l2sces_proto::attachment::v1::Pod as NamedPod;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use tonic::Code;

    use super::{super::directory::DirectoryError, *};

    /// The interfaces of networks with these wishes, where the runtime needs one.
    fn named(wishes: &[Option<&str>], needed: Option<&str>) -> Result<Vec<String>, Status> {
        let asked = wishes.iter().map(|name| Asked {
            network: "blue".to_owned(),
            interface: name.map(|name| name.parse().unwrap()),
            address: None,
            mac: None,
        });
        let needed = needed.map(|name| name.parse().unwrap());
        let names = interfaces(&asked.collect::<Vec<_>>(), needed.as_ref())?;
        Ok(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn beside_another_plugin_interfaces_are_numbered_around_those_with_names() {
        assert_eq!(named(&[], None).unwrap(), [""; 0]);
        assert_eq!(named(&[None, None], None).unwrap(), ["net1", "net2"]);
        assert_eq!(named(&[None, Some("net1"), None], None).unwrap(), ["net2", "net1", "net3"]);
    }

    #[test]
    fn the_interface_that_the_runtime_needs_is_the_first_without_a_name() {
        let needed = Some("eth0");
        assert_eq!(named(&[], needed).unwrap(), [""; 0]);
        assert_eq!(named(&[None, None], needed).unwrap(), ["eth0", "net1"]);
        assert_eq!(named(&[Some("lan0"), None, None], needed).unwrap(), ["lan0", "eth0", "net1"]);
        assert_eq!(named(&[None, Some("eth0")], needed).unwrap(), ["net1", "eth0"]);
        let refused = named(&[Some("lan0"), Some("lan1")], needed).unwrap_err();
        assert!(refused.message().contains("eth0"), "{refused}");
    }

    /// Knows one network, which has been made in slice p and names another provider by now.
    struct Changed;

    #[async_trait]
    impl Directory for Changed {
        async fn pod(&self, _: &str, _: &str) -> Result<Option<Pod>, DirectoryError> {
            Ok(None)
        }

        async fn network(&self, _: &str, name: &str) -> Result<Option<L2Network>, DirectoryError> {
            Ok(Some(read(json!({
                "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "L2Network",
                "metadata": { "namespace": "shop", "name": name },
                "spec": { "type": "vnet", "provider": { "name": "of-others", "domain": [] } },
                "status": { "slice": "p", "vni": 7 },
            }))))
        }
    }

    fn read<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn attachment() -> Attachment {
        Attachment {
            node: "a1".to_owned(),
            pod: NamedPod { namespace: "shop".to_owned(), ..NamedPod::default() },
            attempt: 1,
            restores: false,
            sandbox_id: "s".to_owned(),
            namespace_path: "/run/netns/s".to_owned(),
            selection: Selection::Asked,
            needed_interface: None,
        }
    }

    #[tokio::test]
    async fn a_pod_is_attached_where_its_network_is_made_whatever_its_provider_is_by_now() {
        let pod: Pod = read(json!({ "metadata": {
            "labels": { LABEL_ATTACHED: "true" }, "annotations": { NETWORKS_ANNOTATION: "blue" },
        }}));
        let cluster = "a".parse().unwrap();
        let wishes = wishes(&cluster, &Changed, &attachment(), &pod).await.unwrap();
        assert_eq!(wishes[0].slice.as_str(), "p");
    }

    /// Knows one network of whatever name, with this metadata besides; without any, none.
    struct There(Option<Value>);

    #[async_trait]
    impl Directory for There {
        async fn pod(&self, _: &str, _: &str) -> Result<Option<Pod>, DirectoryError> {
            Ok(None)
        }

        async fn network(&self, _: &str, name: &str) -> Result<Option<L2Network>, DirectoryError> {
            Ok(self.0.as_ref().map(|metadata| {
                let mut network = json!({
                    "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "L2Network",
                    "metadata": { "namespace": "shop", "name": name },
                    "spec": { "type": "vnet" },
                    "status": { "slice": "p", "vni": 7 },
                });
                for (field, value) in metadata.as_object().into_iter().flatten() {
                    network["metadata"][field] = value.clone();
                }
                read(network)
            }))
        }
    }

    #[tokio::test]
    async fn a_network_that_was_deleted_meanwhile_is_not_there_whoever_has_its_name() {
        let pod: Pod = read(json!({ "metadata": {
            "labels": { LABEL_ATTACHED: "true" }, "annotations": { NETWORKS_ANNOTATION: "blue" },
        }}));
        let cluster = "a".parse().unwrap();
        let before = There(Some(json!({ "uid": "one" })));
        let wishes = wishes(&cluster, &before, &attachment(), &pod).await.unwrap();
        let deleted = json!({ "uid": "one", "deletionTimestamp": "2026-01-02T00:00:00Z" });
        let cases = [
            (Some(json!({ "uid": "one" })), true),
            (Some(deleted), false),
            (Some(json!({ "uid": "another" })), false),
            (None, false),
        ];
        for (metadata, expected) in cases {
            let now = There(metadata);
            let there = are_still_there(&now, &attachment(), &wishes).await.unwrap();
            assert_eq!(there, expected, "{:?}", now.0);
        }
    }

    #[test]
    fn a_ports_alias_is_what_the_pods_label_says_or_stands_for_it() {
        let wish = Wish {
            resource: "blue".to_owned(),
            resource_uid: String::new(),
            slice: "p".parse().unwrap(),
            network: "blue".parse().unwrap(),
            interface: "net1".parse().unwrap(),
            address: None,
            mac: None,
        };
        let alias = |labels: Value| {
            let pod: Pod = read(json!({ "metadata": { "labels": labels } }));
            wish.port(&attachment(), &pod).alias
        };
        assert_eq!(alias(json!({})), "");
        assert_eq!(alias(json!({ LABEL_APP: "" })), "");
        assert_eq!(alias(json!({ LABEL_APP: "shop" })), "shop");
        assert_eq!(alias(json!({ LABEL_APP: "shop_v1" })), "shop-v1-01348842b9");
    }

    #[tokio::test]
    async fn an_address_in_a_network_without_any_is_the_pods_own_choice_if_it_is_whole() {
        for (asked, expected) in [("192.168.1.2/24", "192.168.1.2/24"), ("192.168.1.2", "")] {
            let networks = format!(r#"[{{"name": "blue", "ips": ["{asked}"]}}]"#);
            let pod: Pod = read(json!({ "metadata": {
                "labels": { LABEL_ATTACHED: "true" },
                "annotations": { NETWORKS_ANNOTATION: networks },
            }}));
            let cluster = "a".parse().unwrap();
            let wishes = wishes(&cluster, &Changed, &attachment(), &pod).await.unwrap();
            assert_eq!(wishes[0].port(&attachment(), &pod).address, expected);
        }
    }

    /// Knows a pod, in this phase.
    struct In(&'static str);

    #[async_trait]
    impl Directory for In {
        async fn pod(&self, _: &str, _: &str) -> Result<Option<Pod>, DirectoryError> {
            Ok(Some(read(json!({ "spec": { "nodeName": "a1", "containers": [] },
                                 "status": { "phase": self.0 } }))))
        }

        async fn network(&self, _: &str, _: &str) -> Result<Option<L2Network>, DirectoryError> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn a_pod_that_has_ended_is_gone() {
        let attachment = attachment();
        for (phase, code) in [("Running", None), ("Failed", Some(Code::Aborted))] {
            let found = find_pod(&In(phase), &attachment).await;
            assert_eq!(found.err().map(|status| status.code()), code, "{phase}");
        }
    }
}
