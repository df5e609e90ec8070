//! The clusters' part of the management network, and the ways to all pods.

use std::{fmt::Write as _, net::Ipv4Addr};

use futures::future::try_join_all;

use super::layout::Kubernetes;
use crate::{
    error::LabError,
    layout::{Layout, MANAGEMENT_PREFIX, UNDERLAY_PREFIX},
    namespace::Namespace,
    openvswitch::WAN_INTERFACE,
    underlay::{self, MANAGEMENT_BRIDGE, MANAGEMENT_INTERFACE},
};

/// Address in the WAN of the way to nodes of Kubernetes.
const WAN_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 199, 0, 254);

/// The network namespaces of the clusters.
pub(crate) fn namespaces(layout: &Layout) -> impl Iterator<Item = &String> {
    let kubernetes = &layout.kubernetes;
    let control_planes = kubernetes.clusters.iter().map(|cluster| &cluster.namespace);
    control_planes.chain(kubernetes.nodes().map(|node| &node.namespace))
}

/// Connects control planes and nodes to the management network, which must be up.
pub(super) async fn up(layout: &Layout) -> Result<(), LabError> {
    let kubernetes = &layout.kubernetes;
    // A cluster and a node may have the same name.
    let control_planes = kubernetes
        .clusters
        .iter()
        .map(|cluster| (format!("c-{}", cluster.name), &cluster.namespace, cluster.address));
    let nodes =
        kubernetes.nodes().map(|node| (format!("p-{}", node.name), &node.namespace, node.address));
    let hosts: Vec<_> = control_planes.chain(nodes).collect();
    let mut lines = String::new();
    for (port, namespace, _) in &hosts {
        lines += &format!(
            "link add {port} type veth peer name {MANAGEMENT_INTERFACE} netns {namespace}\n\
             link set {port} master {MANAGEMENT_BRIDGE} up\n"
        );
    }
    let control = Namespace::named(&layout.control.namespace);
    control.ip_batch(&lines).await?;
    try_join_all(hosts.iter().map(|(_, namespace, address)| async move {
        Namespace::named(namespace)
            .ip_batch(&format!(
                "address add {address}/{MANAGEMENT_PREFIX} dev {MANAGEMENT_INTERFACE}\n\
                 link set {MANAGEMENT_INTERFACE} up\n"
            ))
            .await
    }))
    .await?;
    join_wan(layout).await?;
    let router = layout.control.address;
    try_join_all(kubernetes.nodes().map(|node| async move {
        let namespace = Namespace::named(&node.namespace);
        namespace.set_parameter("ipv4/ip_forward", "1")?;
        // Addresses of services lead nowhere, but the kernel wants a route before kube-proxy's rules
        // say where they are.
        namespace.ip_batch(&format!("route add default via {router}\n")).await
    }))
    .await?;
    let everywhere = namespaces(layout).chain([&layout.control.namespace]);
    try_join_all(everywhere.map(|namespace| async move {
        let mut lines = String::new();
        for node in kubernetes.nodes().filter(|node| node.namespace != *namespace) {
            writeln!(lines, "route add {} via {}", node.pod_network, node.address)
                .unwrap_or_else(|_| unreachable!("a String takes any text"));
        }
        Namespace::named(namespace).ip_batch(&lines).await
    }))
    .await?;
    Ok(())
}

/// Lets gateways of the other clusters and nodes of Kubernetes reach each other, by way of the control
/// services' namespace.
async fn join_wan(layout: &Layout) -> Result<(), LabError> {
    if layout.nodes().all(|node| node.gateway.is_none()) {
        return Ok(());
    }
    let control = Namespace::named(&layout.control.namespace);
    underlay::plug(&layout.wan, "router", control.name(), WAN_INTERFACE).await?;
    control
        .ip_batch(&format!("address add {WAN_ROUTER}/{UNDERLAY_PREFIX} dev {WAN_INTERFACE}\n"))
        .await?;
    control.set_parameter("ipv4/ip_forward", "1")
}

/// The routes of gateways of other clusters to nodes of Kubernetes, as lines for `ip -batch`.
pub(crate) fn wan_routes(kubernetes: &Kubernetes) -> String {
    let route =
        |[a, b, c, _]: [u8; 4]| format!("route replace {a}.{b}.{c}.0/24 via {WAN_ROUTER}\n");
    kubernetes.clusters.iter().map(|cluster| route(cluster.address.octets())).collect()
}
