use k8s_openapi::api::core::v1::Node as KubernetesNode;
use kube::{Api, Client, ResourceExt, api::ListParams};
use l2sces_custom_resources::{internal_ip, is_control_plane};
use l2sces_model::Name;
use l2sces_proto::slice::v1::{Gateway, Node};

use super::explained;
use crate::error::CliError;

/// The nodes of a cluster, as the slice-manager knows them where nobody says otherwise: each at its
/// InternalIP, and the first of the control plane is the gateway, as for the operator.
pub(crate) async fn nodes(client: &Client) -> Result<Vec<Node>, CliError> {
    let all = Api::<KubernetesNode>::all(client.clone()).list(&ListParams::default()).await;
    known(all.map_err(|error| explained("nodes", error))?.items)
}

fn known(mut all: Vec<KubernetesNode>) -> Result<Vec<Node>, CliError> {
    all.sort_by_key(ResourceExt::name_any);
    let gateway = all.iter().find(|node| is_control_plane(node) && internal_ip(node).is_some());
    let Some(gateway) = gateway.map(ResourceExt::name_any) else {
        let wanted = "name the nodes, and which of them are gateways, by --node";
        return Err(CliError::Usage(format!("no node of the control plane is known: {wanted}")));
    };
    let node = |node: &KubernetesNode| {
        let address = internal_ip(node)?.to_string();
        let gateway = (node.name_any() == gateway)
            .then(|| Gateway { underlay_address: address.clone(), ..Gateway::default() });
        let name = node.name_any();
        Some(Node { name, underlay_address: address, gateway, ..Node::default() })
    };
    Ok(named(all.iter().filter_map(node).collect()))
}

/// Nodes by the names that the operator has for them: those of Kubernetes may have dots.
pub(crate) fn named(mut nodes: Vec<Node>) -> Vec<Node> {
    for node in &mut nodes {
        node.name = Name::standing_for(&node.name).to_string();
    }
    nodes
}

/// Nodes as they were found, with the gateways and labels that the slice-manager knows them by: somebody
/// has set those. A node that is new to it is a gateway only where there is no other.
pub(crate) fn as_known(found: Vec<Node>, known: &[Node]) -> Vec<Node> {
    let is_found = |node: &Node| found.iter().any(|found| found.name == node.name);
    let has_gateway = known.iter().any(|node| node.gateway.is_some() && is_found(node));
    let merged = found.into_iter().map(|node| {
        let Some(before) = known.iter().find(|before| before.name == node.name) else {
            let gateway = node.gateway.filter(|_| !has_gateway);
            return Node { gateway, ..node };
        };
        let mut gateway = before.gateway.clone();
        // It follows the node, unless it has an address of its own.
        if let Some(gateway) = &mut gateway
            && gateway.underlay_address == before.underlay_address
        {
            gateway.underlay_address.clone_from(&node.underlay_address);
        }
        Node { gateway, underlay_address: node.underlay_address, ..before.clone() }
    });
    merged.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, labels: &[&str], address: &str) -> KubernetesNode {
        let labels: std::collections::BTreeMap<_, _> = labels.iter().map(|key| (key, "")).collect();
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels },
            "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
        }))
        .unwrap()
    }

    #[test]
    fn nodes_are_known_by_names_that_a_slice_manager_takes() {
        let plane = ["node-role.kubernetes.io/control-plane"];
        let all = vec![
            node("worker.example.org", &[], "10.0.0.2"),
            node("plane.example.org", &plane, "10.0.0.1"),
            node("short", &plane, "10.0.0.3"),
        ];
        let nodes = known(all).unwrap();
        for (node, shown) in
            nodes.iter().zip(["plane-example-org-", "short", "worker-example-org-"])
        {
            assert!(node.name.starts_with(shown), "{}", node.name);
            node.name.parse::<Name>().unwrap();
        }
        let gateways: Vec<_> = nodes.iter().map(|node| node.gateway.is_some()).collect();
        assert_eq!(gateways, [true, false, false]);
    }

    #[test]
    fn what_somebody_has_set_of_a_node_stays() {
        let node = |name: &str, address: &str, gateway: Option<&str>, labels: &[&str]| Node {
            name: name.to_owned(),
            underlay_address: address.to_owned(),
            gateway: gateway.map(|address| Gateway {
                underlay_address: address.to_owned(),
                ..Gateway::default()
            }),
            labels: labels.iter().map(|label| ((*label).to_owned(), String::new())).collect(),
            ..Node::default()
        };
        let known = [
            node("gone", "10.0.0.9", None, &[]),
            node("plane", "10.0.0.1", None, &["small"]),
            node("far", "10.0.0.2", Some("203.0.113.2"), &[]),
            node("near", "10.0.0.3", Some("10.0.0.3"), &[]),
        ];
        let found = ["plane", "far", "near", "new"].map(|name| node(name, "10.0.1.1", None, &[]));
        let mut found = found.to_vec();
        found[3].gateway = Some(Gateway::default());
        let merged = [
            node("plane", "10.0.1.1", None, &["small"]),
            node("far", "10.0.1.1", Some("203.0.113.2"), &[]),
            node("near", "10.0.1.1", Some("10.0.1.1"), &[]),
            node("new", "10.0.1.1", None, &[]),
        ];
        assert_eq!(as_known(found.clone(), &known), merged);
        assert_eq!(as_known(found.clone(), &[]), found);
        // Of the gateways none is left.
        assert_eq!(as_known(found[3..].to_vec(), &known), found[3..]);
    }
}
