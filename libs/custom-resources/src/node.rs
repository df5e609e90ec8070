//! What a node of Kubernetes says of itself.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

/// Labels by which a node of the control plane is known; the second is the older.
const CONTROL_PLANE_LABELS: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// A node's first InternalIP, on which its tunnels end.
pub fn internal_ip(node: &Node) -> Option<IpAddr> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let mut internal = addresses.iter().filter(|address| address.type_ == "InternalIP");
    internal.find_map(|address| address.address.parse().ok())
}

/// Whether a node is of the control plane. The first of these, by name, is the gateway where nobody names
/// another.
pub fn is_control_plane(node: &Node) -> bool {
    CONTROL_PLANE_LABELS.iter().any(|label| node.labels().contains_key(*label))
}
