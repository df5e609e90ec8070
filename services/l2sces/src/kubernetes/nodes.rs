use k8s_openapi::api::core::v1::Node as KubernetesNode;
use kube::{Api, Client, ResourceExt, api::ListParams};
use l2sces_custom_resources::{internal_ip, is_control_plane};
use l2sces_proto::slice::v1::{Gateway, Node};

use super::explained;
use crate::error::CliError;

/// The nodes of a cluster, as the slice-manager knows them where nobody says otherwise: each at its
/// InternalIP, and the first of the control plane is the gateway, as for the operator.
pub(crate) async fn nodes(client: &Client) -> Result<Vec<Node>, CliError> {
    let all = Api::<KubernetesNode>::all(client.clone()).list(&ListParams::default()).await;
    let mut all = all.map_err(|error| explained("nodes", error))?.items;
    all.sort_by_key(ResourceExt::name_any);
    let gateway = all.iter().find(|node| is_control_plane(node) && internal_ip(node).is_some());
    let Some(gateway) = gateway.map(ResourceExt::name_any) else {
        let wanted = "name the nodes, and which of them are gateways, by --node";
        return Err(CliError::Usage(format!("no node of the control plane is known: {wanted}")));
    };
    let node = |node: &KubernetesNode| {
        let (name, address) = (node.name_any(), internal_ip(node)?.to_string());
        let gateway = (name == gateway)
            .then(|| Gateway { underlay_address: address.clone(), ..Gateway::default() });
        Some(Node { name, underlay_address: address, gateway, ..Node::default() })
    };
    Ok(all.iter().filter_map(node).collect())
}
