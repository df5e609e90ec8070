//! Our workloads in a cluster, installed as an administrator does it: by `l2sces cluster join`.

use std::path::Path;

use futures::future::try_join_all;

use super::{
    credentials,
    kubectl::Kubectl,
    layout::{CONTROL_CLUSTER, KubernetesCluster},
};
use crate::{command, error::LabError, layout::Layout, namespace::Namespace, unit::Unit};

/// Tells the clusters that have no nodes, and run nothing of ours, of our custom resources, makes our
/// namespace there, and lets the slice-operator into the control cluster.
pub(crate) async fn define(layout: &Layout) -> Result<(), LabError> {
    let clusters = layout.kubernetes.clusters.iter();
    let without_nodes = clusters.filter(|cluster| cluster.nodes.is_empty());
    try_join_all(without_nodes.map(async |cluster| -> Result<(), LabError> {
        let kubectl = Kubectl::new(layout, cluster);
        kubectl.run(["apply", "--kustomize", &manifests("crds")]).await?;
        kubectl.run(["apply", "--filename", &manifests("base/namespace/namespace.yaml")]).await?;
        if cluster.name == CONTROL_CLUSTER {
            let role = manifests("base/slice-operator/role.yaml");
            kubectl.run(["apply", "--filename", &role]).await?;
        }
        Ok(())
    }))
    .await?;
    Ok(())
}

/// Has every cluster that has nodes join; what needs no custom resource is ready then.
pub(crate) async fn up(layout: &Layout) -> Result<(), LabError> {
    let clusters = layout.kubernetes.clusters.iter();
    let with_nodes = clusters.filter(|cluster| !cluster.nodes.is_empty());
    try_join_all(with_nodes.map(|cluster| join(layout, cluster))).await?;
    Ok(())
}

/// A part of our manifests.
pub(super) fn manifests(path: &str) -> String {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s");
    all.join(path).display().to_string()
}

/// Nobody registers it: whether a slice-manager drives it, its user decides.
async fn join(layout: &Layout, cluster: &KubernetesCluster) -> Result<(), LabError> {
    let program = layout.binaries.join("l2sces");
    let mut join = Namespace::named(&cluster.namespace).command(&program)?;
    join.args(["cluster", "join", "--apply", "--no-register"]);
    join.args(join_flags(layout, cluster)?).arg("--kubeconfig").arg(&cluster.kubeconfig);
    command::run(&mut join).await?;
    Ok(())
}

/// What `l2sces cluster join` must be told of a cluster: its name, the lab's services, and how our workloads
/// run here.
pub(crate) fn join_flags(
    layout: &Layout,
    cluster: &KubernetesCluster,
) -> Result<Vec<String>, LabError> {
    let name = cluster.name.clone();
    // The URL has a password, which does not belong on a command line.
    let database_url = cluster.directory.join("sdn-controller-database");
    let url = &layout.role(&Unit::SdnController(name.clone()))?.network_url;
    credentials::write(&database_url, url)?;
    let flags = [
        ("--pki", layout.directory.join("pki").display().to_string()),
        ("--sco-provider", layout.service(&Unit::ScoProvider)?.endpoint.clone()),
        ("--database-url-file", database_url.display().to_string()),
        ("--dns", layout.control.dns.to_string()),
        ("--datapath", "netdev".to_owned()),
        ("--operators", "1".to_owned()),
        ("--tag", "lab".to_owned()),
        ("--timeout", "6m".to_owned()),
    ];
    let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    Ok(std::iter::once(name).chain(flags).collect())
}
