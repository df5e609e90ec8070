//! The network plugin in a node of a Kubernetes cluster: when it is there, and when it goes.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use l2sces_lab::{Kubectl, Lab, wait};

use crate::kubernetes::{PATIENCE, SYSTEM, manifests_of, shows};

/// What the plugin is in a node.
const FILES: [&str; 2] = ["etc/cni/net.d/00-l2sces.conflist", "opt/cni/bin/l2sces-cni"];

/// The plugin in a node. Its files are held open: one that was gone for a moment is another afterwards.
struct Plugin {
    node: String,
    files: Vec<(PathBuf, File)>,
}

impl Plugin {
    /// The plugin of a node, once it is there.
    async fn of(lab: &Lab, node: &str) -> Result<Self> {
        let root = lab.layout().kubernetes.node(node)?.directory.join("root");
        let open = || -> io::Result<Vec<_>> {
            let paths = FILES.iter().map(|file| root.join(file));
            paths.map(|path| Ok((path.clone(), File::open(path)?))).collect()
        };
        let files = wait::holds(&format!("{node} has the plugin"), PATIENCE, || async {
            open().map_err(|error| error.to_string())
        })
        .await?;
        Ok(Self { node: node.to_owned(), files })
    }

    /// It has not been away since.
    fn stayed(&self) -> Result<()> {
        for (path, file) in &self.files {
            let (before, now) = (file.metadata()?, fs::metadata(path));
            let is_it = now.is_ok_and(|now| now.ino() == before.ino());
            ensure!(is_it, "{} was gone from {}", path.display(), self.node);
        }
        Ok(())
    }

    /// Waits until it is gone.
    async fn goes(&self) -> Result<()> {
        wait::holds(&format!("{} has no plugin", self.node), PATIENCE, || async {
            let paths = self.files.iter().map(|(path, _)| path);
            let there: Vec<_> = paths.filter(|path| path.exists()).collect();
            if there.is_empty() { Ok(()) } else { Err(format!("{there:?}")) }
        })
        .await?;
        Ok(())
    }
}

/// The plugin of two nodes stays when a pod of its DaemonSet is deleted, leaves the first with the node's
/// label, and the second when everything of ours is deleted by kubectl, which deletes the namespace first. Of
/// our workloads, which are those of an overlay of our manifests, nothing else runs there.
pub async fn goes_only_with_its_node_or_daemon_set(
    lab: &Lab,
    kubectl: &Kubectl,
    overlay: &str,
    [first, second]: [&str; 2],
) -> Result<()> {
    let others = ["openvswitch", "sps-agent", "ned-agent"];
    let delete = ["--namespace", SYSTEM, "delete", "daemonset"];
    kubectl.run(delete.iter().chain(&others)).await?;
    let label = ["label", "--overwrite", "node", first, second, "l2sces.l2sm.io/sps=true"];
    kubectl.run(label).await?;
    let (at_first, at_second) = (Plugin::of(lab, first).await?, Plugin::of(lab, second).await?);

    let before = pod_of(kubectl, first, "").await?;
    kubectl.run(["--namespace", SYSTEM, "delete", "pod", &before]).await?;
    pod_of(kubectl, first, &before).await?;
    at_first.stayed()?;

    kubectl.run(["label", "node", first, "l2sces.l2sm.io/sps-"]).await?;
    at_first.goes().await?;
    at_second.stayed()?;
    let manifests = manifests_of(overlay);
    let delete = ["delete", "--wait=false", "--ignore-not-found", "--kustomize", &manifests];
    kubectl.run(delete).await?;
    at_second.goes().await
}

/// The pod of the plugin on a node, once that is ready, and another than this one.
async fn pod_of(kubectl: &Kubectl, node: &str, other: &str) -> Result<String> {
    let on_node = format!("--field-selector=spec.nodeName={node}");
    let names = "jsonpath={.items[*].metadata.name} \
                 {.items[*].status.conditions[?(@.type=='Ready')].status}";
    let ask = ["--namespace", SYSTEM, "get", "pods", "--selector=app=cni", &on_node, "--output"];
    let name = |shown: &str| shown.strip_suffix(" True").map(str::to_owned);
    let is_wanted = |shown: &str| name(shown).is_some_and(|name| name != other);
    let shown = shows(kubectl, &[&ask[..], &[names]].concat(), is_wanted).await?;
    name(&shown).context("it is ready")
}
