//! Labs of Kubernetes, in which our workloads run by our own manifests.

use std::{path::Path, time::Duration};

use anyhow::Result;
use l2sces_lab::{Kubectl, Lab, LabOptions, Topology, command, wait};

use crate::world::rows_left;

/// How long anything may take to become as wanted: pods start, and the machine is busy.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The namespace of our workloads.
pub const SYSTEM: &str = "l2sces-system";

/// A lab with two Kubernetes clusters, `a` and `b`, in which our workloads run.
pub struct KubernetesWorld {
    /// The lab.
    pub lab: Lab,
}

impl KubernetesWorld {
    /// Brings it up; our workloads that need no custom resource are ready.
    pub async fn up() -> Result<Self> {
        let options = LabOptions {
            log_filter: "info,l2sces_controller=debug".to_owned(),
            ..LabOptions::default()
        };
        Ok(Self { lab: Lab::up(&Topology::two_kubernetes_clusters(), options).await? })
    }

    /// `kubectl` on a cluster.
    pub fn kubectl(&self, cluster: &str) -> Result<Kubectl> {
        Ok(self.lab.kubectl(cluster)?)
    }

    /// What is left of us on the nodes and in the database, one line each.
    pub async fn leftovers(&self) -> Result<Vec<String>> {
        let mut left = rows_left(&self.lab).await?;
        for node in self.lab.layout().kubernetes.nodes() {
            let mut links = self.lab.node_command(&node.name, "ip")?;
            let links = command::run(links.args(["-oneline", "link", "show"])).await?;
            let names = links.lines().filter_map(|line| line.split(": ").nth(1));
            let ours = names.filter(|name| name.starts_with("l2") || name.starts_with("br-"));
            left.extend(ours.map(|name| format!("interface {name} on {}", node.name)));
            let plugins = "/etc/cni/net.d";
            let mut files = self.lab.node_command(&node.name, "ls")?;
            let files = command::run(files.arg(plugins)).await?;
            let ours = files.lines().filter(|file| file.contains("l2sces"));
            left.extend(ours.map(|file| format!("{plugins}/{file} on {}", node.name)));
        }
        Ok(left)
    }
}

/// Waits until `kubectl` with these arguments prints something that `is_wanted`.
pub async fn shows(
    kubectl: &Kubectl,
    arguments: &[&str],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<String> {
    let what = format!("what `kubectl {}` shows is as wanted", arguments.join(" "));
    let shown = wait::holds(&what, PATIENCE, || async {
        let shown = kubectl.run(arguments).await.map_err(|error| error.to_string())?;
        if is_wanted(&shown) { Ok(shown) } else { Err(shown) }
    });
    Ok(shown.await?)
}

/// Our manifests.
pub fn manifests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../k8s"))
}

/// A directory of our manifests.
pub fn manifests_of(directory: &str) -> String {
    manifests().join(directory).display().to_string()
}
