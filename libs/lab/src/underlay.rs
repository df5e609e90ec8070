//! The networks between the hosts of a lab: namespaces, bridges and the cables between them.

use std::fmt::Write as _;

use futures::future::try_join_all;

use crate::{
    error::LabError,
    layout::{Layout, MANAGEMENT_PREFIX, Node, UNDERLAY_MTU, Underlay},
    namespace::Namespace,
    openvswitch::{UNDERLAY_INTERFACE, WAN_INTERFACE},
};

/// Bridge of the management network, in the control services' namespace.
pub(crate) const MANAGEMENT_BRIDGE: &str = "br-mgmt";
/// A node's interface to the management network.
pub(crate) const MANAGEMENT_INTERFACE: &str = "eth-mgmt";
/// Bridge of an underlay, in its namespace.
const CABLES: &str = "br-net";

/// The network namespaces of the underlays, the nodes and the control services.
pub(crate) fn namespaces(layout: &Layout) -> impl Iterator<Item = &String> {
    underlays(layout)
        .map(|underlay| &underlay.namespace)
        .chain([&layout.control.namespace])
        .chain(layout.nodes().map(|node| &node.namespace))
}

fn underlays(layout: &Layout) -> impl Iterator<Item = &Underlay> {
    layout.clusters.iter().map(|cluster| &cluster.underlay).chain([&layout.wan])
}

/// Makes every network. The namespaces must be there.
pub(crate) async fn up(layout: &Layout) -> Result<(), LabError> {
    for node in layout.nodes() {
        // The underlay addresses are on bridges, while the kernel hears what comes to the bridges'
        // interfaces as well: unless told otherwise it answers ARP for any address of the host on
        // any interface, with that interface's own MAC address, and nothing sent there arrives.
        let namespace = Namespace::named(&node.namespace);
        namespace.set_parameter("ipv4/conf/all/arp_ignore", "1")?;
        namespace.set_parameter("ipv4/conf/all/arp_announce", "2")?;
    }
    try_join_all(underlays(layout).map(make_bridge)).await?;
    make_management(layout).await?;
    try_join_all(layout.clusters.iter().map(|cluster| async {
        for node in &cluster.nodes {
            plug(&cluster.underlay, &port(node), &node.namespace, UNDERLAY_INTERFACE).await?;
        }
        Ok::<_, LabError>(())
    }))
    .await?;
    for node in layout.nodes().filter(|node| node.gateway.is_some()) {
        plug(&layout.wan, &port(node), &node.namespace, WAN_INTERFACE).await?;
    }
    Ok(())
}

async fn make_bridge(underlay: &Underlay) -> Result<(), LabError> {
    let namespace = Namespace::named(&underlay.namespace);
    // Nothing but frames of the nodes: the bridge itself has nothing to say.
    namespace.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
    // Snooping would hold multicast back until it has seen a querier.
    let lines = format!("link add {CABLES} type bridge mcast_snooping 0\nlink set {CABLES} up\n");
    namespace.ip_batch(&lines).await
}

async fn make_management(layout: &Layout) -> Result<(), LabError> {
    let namespace = Namespace::named(&layout.control.namespace);
    let mut lines = format!("link add {MANAGEMENT_BRIDGE} type bridge\n");
    let addresses = std::iter::once(layout.control.address)
        .chain(layout.clusters.iter().map(|cluster| cluster.controller_address));
    for address in addresses {
        writeln!(lines, "address add {address}/{MANAGEMENT_PREFIX} dev {MANAGEMENT_BRIDGE}")
            .unwrap_or_else(|_| unreachable!("a String takes any text"));
    }
    lines += &format!("link set {MANAGEMENT_BRIDGE} up\n");
    for node in layout.nodes() {
        let port = port(node);
        lines += &format!(
            "link add {port} type veth peer name {MANAGEMENT_INTERFACE} netns {}\n\
             link set {port} master {MANAGEMENT_BRIDGE} up\n",
            node.namespace
        );
    }
    namespace.ip_batch(&lines).await?;
    try_join_all(layout.nodes().map(|node| async {
        let address = node.management_address;
        Namespace::named(&node.namespace)
            .ip_batch(&format!(
                "address add {address}/{MANAGEMENT_PREFIX} dev {MANAGEMENT_INTERFACE}\n\
                 link set {MANAGEMENT_INTERFACE} up\n"
            ))
            .await
    }))
    .await?;
    Ok(())
}

/// Connects an interface of a host, which is a network namespace, to a port of an underlay.
pub(crate) async fn plug(
    underlay: &Underlay,
    port: &str,
    namespace: &str,
    interface: &str,
) -> Result<(), LabError> {
    let lines = format!(
        "link add {port} mtu {UNDERLAY_MTU} type veth \
         peer name {interface} mtu {UNDERLAY_MTU} netns {namespace}\n\
         link set {port} master {CABLES} up\n"
    );
    Namespace::named(&underlay.namespace).ip_batch(&lines).await?;
    let namespace = Namespace::named(namespace);
    // The interface of a node belongs to a bridge: the kernel must not speak for it.
    namespace.set_parameter(&format!("ipv6/conf/{interface}/disable_ipv6"), "1")?;
    namespace.ip(["link", "set", interface, "up"]).await?;
    Ok(())
}

/// Cuts or heals a node's cable to the network whose bridge is in `namespace`.
pub(crate) async fn set_link(namespace: &str, node: &Node, up: bool) -> Result<(), LabError> {
    let state = if up { "up" } else { "down" };
    Namespace::named(namespace).ip(["link", "set", &port(node), state]).await?;
    Ok(())
}

/// The far end of a node's cable, on the bridge.
pub(crate) fn port(node: &Node) -> String {
    format!("p-{}", node.name)
}
