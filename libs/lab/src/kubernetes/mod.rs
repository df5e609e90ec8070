//! Real Kubernetes clusters in a lab: a control plane and nodes each, made of namespaces.
//!
//! A control plane is etcd, the API server, controllers, scheduler and a DNS in a network namespace. A node is
//! a process with namespaces of every kind and a tree of control groups: its own containerd, kubelet
//! and kube-proxy take it for a machine. All of them, and the lab's control services, are on one
//! management network, and each has routes to the pods of every node: anything reaches anything.
//!
//! With services, our workloads run in the clusters: those have joined by `l2sces cluster join`.
//!
//! A cluster without nodes is an API server with its etcd, and no more.
//!
//! Images come from no registry: the lab packs them from what is installed and built on the machine.

mod api_server;
pub mod binaries;
pub(crate) mod cgroups;
mod control_plane;
pub(crate) mod credentials;
mod image;
mod kubectl;
pub mod layout;
mod network;
mod node;
pub(crate) mod workloads;

use futures::future::{try_join, try_join_all};

use crate::{error::LabError, layout::Layout, process::Supervisor};

pub use api_server::{ApiServer, free_port};
pub use kubectl::Kubectl;
pub(crate) use network::{namespaces, wan_routes};
pub(crate) use node::command as node_command;

/// Brings up every cluster and waits until its nodes are ready.
pub(crate) async fn up(layout: &Layout, supervisor: &Supervisor) -> Result<(), LabError> {
    let kubernetes = &layout.kubernetes;
    if kubernetes.clusters.is_empty() {
        return Ok(());
    }
    network::up(layout).await?;
    let images = async {
        match kubernetes.nodes().next() {
            Some(_) => image::pack_all(&kubernetes.images, &layout.binaries).await,
            None => Ok(()),
        }
    };
    let control_planes = try_join_all(kubernetes.clusters.iter().map(|cluster| async move {
        credentials::issue_all(cluster)?;
        control_plane::up(layout, cluster, supervisor).await
    }));
    try_join(images, control_planes).await?;
    let with_nodes = kubernetes.clusters.iter().filter(|cluster| !cluster.nodes.is_empty());
    try_join_all(with_nodes.map(|cluster| async move {
        try_join_all(cluster.nodes.iter().map(|node| node::up(layout, cluster, node, supervisor)))
            .await?;
        control_plane::admit_nodes(layout, cluster, supervisor).await
    }))
    .await?;
    Ok(())
}
