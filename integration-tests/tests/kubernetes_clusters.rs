//! Labs have real Kubernetes clusters: pods run on every node, anything reaches anything, and nothing
//! is left.

use std::time::Duration;

use anyhow::{Result, ensure};
use l2sces_lab::{Lab, LabOptions, Topology, residue, wait};

const PATIENCE: Duration = Duration::from_secs(120);

/// A pod on each node.
const PODS: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: pod, image: \"l2sces-tools:lab\"}]
";

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_on_every_node_and_nothing_is_left() -> Result<()> {
    let lab = Lab::up(&Topology::two_kubernetes_clusters(), LabOptions::default()).await?;
    let id = lab.layout().id.clone();
    let mut addresses = Vec::new();
    for cluster in ["a", "b"] {
        lab.kubectl(cluster)?.apply(PODS).await?;
    }
    for cluster in ["a", "b"] {
        let kubectl = lab.kubectl(cluster)?;
        let rollout = ["rollout", "status", "daemonset/everywhere", "--timeout=120s"];
        kubectl.run(rollout).await?;
        let ips = ["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"];
        let ips = kubectl.run(ips).await?;
        addresses.extend(ips.split_whitespace().map(str::to_owned));
    }
    ensure!(addresses.len() == 4, "pods have the addresses {addresses:?}");
    for address in &addresses {
        let ping = ["ping", "-c", "1", "-W", "5", address];
        lab.control().run(ping).await?;
        lab.kubectl("a")?.run(["exec", "daemonset/everywhere", "--"].iter().chain(&ping)).await?;
    }
    let kubectl = lab.kubectl("a")?;
    kubectl.delete(PODS).await?;
    wait::holds("the pods are gone", PATIENCE, || async {
        let pods = kubectl.run(["get", "pods", "-o", "name"]).await;
        let pods = pods.map_err(|error| error.to_string())?;
        if pods.is_empty() { Ok(()) } else { Err(pods) }
    })
    .await?;
    lab.down().await?;
    let left = residue(&id);
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}
