//! Labs of Kubernetes, in which our workloads run by our own manifests.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use l2sces_lab::{
    Kubectl, Lab, LabOptions, Topology,
    command::{self, Output},
    wait,
};

use crate::world::rows_left;

/// How long anything may take to become as wanted: pods start, and the machine is busy.
pub const PATIENCE: Duration = Duration::from_secs(360);

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
        Ok([rows_left(&self.lab).await?, leftovers(&self.lab).await?].concat())
    }
}

/// What is left of us on the nodes of the Kubernetes clusters, one line each.
pub async fn leftovers(lab: &Lab) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for node in lab.layout().kubernetes.nodes() {
        let mut links = lab.node_command(&node.name, "ip")?;
        let links = command::run(links.args(["-oneline", "link", "show"])).await?;
        let names = links.lines().filter_map(|line| line.split(": ").nth(1));
        let ours = names.filter(|name| name.starts_with("l2") || name.starts_with("br-"));
        left.extend(ours.map(|name| format!("interface {name} on {}", node.name)));
        for plugins in ["/etc/cni/net.d", "/opt/cni/bin"] {
            let mut files = lab.node_command(&node.name, "ls")?;
            let files = command::run(files.arg(plugins)).await?;
            let ours = files.lines().filter(|file| file.contains("l2sces"));
            left.extend(ours.map(|file| format!("{plugins}/{file} on {}", node.name)));
        }
    }
    Ok(left)
}

/// The token of a service account.
pub async fn token(kubectl: &Kubectl, namespace: &str, account: &str) -> Result<String> {
    let of_account = format!(
        "eq (index .metadata.annotations \"kubernetes.io/service-account.name\") \"{account}\""
    );
    let template = format!(
        "go-template={{{{range .items}}}}{{{{if and (eq .type \"kubernetes.io/service-account-token\") \
         ({of_account})}}}}{{{{.data.token | base64decode}}}}{{{{end}}}}{{{{end}}}}"
    );
    let ask = ["get", "secrets", "--namespace", namespace, "--output", &template];
    shows(kubectl, &ask, |token| !token.is_empty()).await
}

/// A pod `<network>-<node>` in a network on a node. On nodes whose names end in 1 it says so in L2S-M's
/// plain syntax, on others in JSON. On node a2 it has an address that networks of other names have not
/// given to anybody: who sends there and is answered is in the wrong network. It is not the first of a
/// block of addresses, which a pod without a wish may be given.
pub fn pod(network: &str, node: &str) -> String {
    let annotation = match node {
        "a2" => {
            let number = 102 + network.bytes().map(u16::from).sum::<u16>() % 20 * 4;
            format!(r#"[{{"name": "{network}", "ips": ["10.1.0.{number}"]}}]"#)
        }
        node if node.ends_with('1') => network.to_owned(),
        _ => format!(r#"[{{"name": "{network}"}}]"#),
    };
    format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: {network}-{node}
  labels: {{l2sm: \"true\"}}
  annotations: {{l2sm/networks: '{annotation}'}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: pod, image: \"l2sces-tools:lab\", command: [sleep, \"1000000\"]}}
"
    )
}

/// The IPv4 address of a pod's interface.
pub async fn address(kubectl: &Kubectl, pod: &str, interface: &str) -> Result<String> {
    let show = ["exec", pod, "--", "ip", "-oneline", "-4", "address", "show", interface];
    let shown = kubectl.run(show).await?;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "inet");
    let address = words.nth(1).and_then(|address| address.split('/').next());
    Ok(address.with_context(|| format!("{pod} has no address: {shown}"))?.to_owned())
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

/// Whether a ping was answered, by what it printed.
///
/// # Errors
/// It printed no result: it did not run.
pub fn is_answered(ping: &Output) -> Result<bool> {
    let received = ping.stdout.split(", ").find_map(|part| part.strip_suffix(" received"));
    let received = received.with_context(|| format!("a ping did not run: {ping:?}"))?;
    Ok(received != "0")
}

/// Our manifests.
pub fn manifests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../k8s"))
}

/// A directory of our manifests.
pub fn manifests_of(directory: &str) -> String {
    manifests().join(directory).display().to_string()
}
