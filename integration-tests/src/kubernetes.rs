//! Labs of Kubernetes with all of ours in them, installed by our own manifests.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use l2sces_lab::{Kubectl, Lab, LabOptions, Topology, Unit, command, wait};
use l2sces_pki::{Authority, Identity, Role};
use serde_json::{Value, json};

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
        let lab = Lab::up(&Topology::two_kubernetes_clusters(), options).await?;
        let world = Self { lab };
        try_join_all(world.clusters().map(|cluster| world.install(cluster))).await?;
        Ok(world)
    }

    /// Names of the clusters.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        self.lab.layout().kubernetes.clusters.iter().map(|cluster| cluster.name.as_str())
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

    /// Installs what the overlay `dev` has, and the secrets that it refers to.
    async fn install(&self, cluster: &str) -> Result<()> {
        let kubectl = self.kubectl(cluster)?;
        let manifests = [
            std::fs::read_to_string(manifests().join("base/namespace/namespace.yaml"))?,
            self.secrets(cluster)?.to_string(),
        ];
        kubectl.run(["apply", "--kustomize", &manifests_of("crds")]).await?;
        for manifest in manifests {
            kubectl.apply(&manifest).await?;
        }
        let overlay = manifests_of("overlays/dev");
        kubectl.run(["apply", "--kustomize", &overlay]).await?;
        for deployment in ["sdn-controller", "operator"] {
            let deployment = format!("deployment/{deployment}");
            let rollout = ["--namespace", SYSTEM, "rollout", "status", &deployment];
            kubectl
                .run(rollout.into_iter().chain(["--timeout=180s"]))
                .await
                .with_context(|| format!("cluster {cluster}"))?;
        }
        Ok(())
    }

    /// What docs/operations.md has an administrator make: certificates, the authority for agents, the
    /// database's URL, and which cluster it is.
    fn secrets(&self, cluster: &str) -> Result<Value> {
        let layout = self.lab.layout();
        let authority = Authority::load(layout.directory.join("pki"))?;
        let key = std::fs::read_to_string(layout.directory.join("pki/ca.key"))?;
        let object = |kind: &str, name: &str, field: &str, data: Value| {
            json!({
                "apiVersion": "v1",
                "kind": kind,
                "metadata": { "name": name, "namespace": SYSTEM },
                field: data,
            })
        };
        let mut items = vec![
            object(
                "ConfigMap",
                "l2sces",
                "data",
                json!({
                    "L2SCES_CLUSTER": cluster,
                    "L2SCES_SCO_PROVIDER": layout.service(&Unit::ScoProvider)?.endpoint,
                }),
            ),
            object(
                "ConfigMap",
                "l2sces-ca",
                "data",
                json!({ "ca.pem": authority.certificate_pem() }),
            ),
            object(
                "Secret",
                "l2sces-issuer",
                "stringData",
                json!({ "ca.pem": authority.certificate_pem(), "ca.key": key }),
            ),
            object(
                "Secret",
                "sdn-controller-database",
                "stringData",
                json!({ "url": layout.role(&Unit::SdnController(cluster.to_owned()))?.network_url }),
            ),
        ];
        for (workload, role) in
            [("sdn-controller", Role::SdnController), ("operator", Role::Operator)]
        {
            let names = [format!("{workload}.{SYSTEM}"), "localhost".to_owned()];
            let issued = authority.issue(&Identity::new(role, cluster)?, &names)?;
            items.push(object(
                "Secret",
                &format!("{workload}-tls"),
                "stringData",
                json!({
                    "ca.pem": authority.certificate_pem(),
                    "cert.pem": issued.cert_pem,
                    "key.pem": issued.key_pem,
                }),
            ));
        }
        Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
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
