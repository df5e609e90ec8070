//! Labs have real Kubernetes clusters: pods run on every node and anything reaches anything; the API
//! server takes all of our manifests, which are those that `l2sces cluster join` prints; service accounts
//! may do what they need and nothing else; the network plugin stays in a node unless that leaves; and nothing is
//! left.

use std::fs;

use anyhow::{Context, Result, ensure};
use integration_tests::{
    kubernetes::{SYSTEM, manifests, manifests_of, shows, token},
    membership::prints_what_kustomize_makes,
    plugin::goes_only_with_its_node_or_daemon_set,
};
use l2sces_lab::{Kubectl, Lab, LabOptions, Topology, residue};

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
async fn clusters_run_pods_and_take_our_manifests() -> Result<()> {
    // Our workloads are only looked at by the API server.
    let options = LabOptions { services: false, ..LabOptions::default() };
    let lab = Lab::up(&Topology::two_kubernetes_clusters(), options).await?;
    let id = lab.layout().id.clone();
    everything_reaches_everything(&lab).await?;
    let kubectl = lab.kubectl("a")?;
    every_manifest_is_taken(&kubectl).await?;
    let managed = ["--registry", "registry.example", "--tag", "0.1.0"];
    prints_what_kustomize_makes(&lab, &kubectl, "overlays/managed", &managed).await?;
    let dev = ["--datapath", "netdev", "--operators", "1", "--tag", "lab"];
    prints_what_kustomize_makes(&lab, &kubectl, "overlays/dev", &dev).await?;
    rights_are_what_is_needed(&kubectl).await?;
    goes_only_with_its_node_or_daemon_set(&lab, &kubectl, "overlays/dev", ["a1", "a2"]).await?;
    lab.down().await?;
    let left = residue(&id);
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

async fn everything_reaches_everything(lab: &Lab) -> Result<()> {
    for cluster in ["a", "b"] {
        lab.kubectl(cluster)?.apply(PODS).await?;
    }
    let mut addresses = Vec::new();
    for cluster in ["a", "b"] {
        let kubectl = lab.kubectl(cluster)?;
        let rollout = ["rollout", "status", "daemonset/everywhere", "--timeout=360s"];
        kubectl.run(rollout).await?;
        let ips = ["get", "pods", "--output", "jsonpath={.items[*].status.podIP}"];
        let ips = kubectl.run(ips).await?;
        addresses.extend(ips.split_whitespace().map(str::to_owned));
    }
    ensure!(addresses.len() == 4, "pods have the addresses {addresses:?}");
    let kubectl = lab.kubectl("a")?;
    for address in &addresses {
        let ping = ["ping", "-c", "1", "-w", "30", address];
        lab.control().run(ping).await?;
        kubectl.run(["exec", "daemonset/everywhere", "--"].iter().chain(&ping)).await?;
    }
    kubectl.delete(PODS).await?;
    shows(&kubectl, &["get", "pods", "--output", "name"], str::is_empty).await?;
    Ok(())
}

/// All overlays are valid for this API server, which names each field that it does not know.
async fn every_manifest_is_taken(kubectl: &Kubectl) -> Result<()> {
    kubectl.apply(&fs::read_to_string(manifests().join("base/namespace/namespace.yaml"))?).await?;
    for directory in [
        "crds",
        "overlays/managed",
        "overlays/control",
        "overlays/dev",
        "base/slice-manager-access",
    ] {
        let text = kubectl.run(["kustomize", &manifests_of(directory)]).await?;
        // The only version that this API server does not know yet; the fields are the same.
        let text = text.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n");
        let dry_run = ["apply", "--dry-run=server", "--validate=true", "--filename=-"];
        kubectl.with_input(dry_run, &text).await.context(directory)?;
    }
    Ok(())
}

/// What service accounts may do, as the API server itself says when they try.
async fn rights_are_what_is_needed(kubectl: &Kubectl) -> Result<()> {
    kubectl.run(["apply", "--kustomize", &manifests_of("overlays/dev")]).await?;
    let operator = token(kubectl, SYSTEM, "operator").await?;
    for allowed in
        ["get nodes", "get pods --all-namespaces", "label node a1 l2sces.l2sm.io/sps=true"]
    {
        let output = try_as(kubectl, &operator, allowed).await?;
        ensure!(output.status.success(), "the operator may not {allowed}: {}", output.stderr);
    }
    for forbidden in [
        "get secrets --all-namespaces",
        "get secret l2sces-authority --namespace l2sces-system",
        "delete node a1",
        "delete pod any --namespace default",
        "run any --image=any --namespace default",
        "get configmap any --namespace kube-system",
        "get namespace default",
        "label namespace default any=any",
    ] {
        is_forbidden(kubectl, "operator", &operator, forbidden).await?;
    }
    for agent in ["sps-agent", "ned-agent", "openvswitch", "cni", "sdn-controller"] {
        let token = token(kubectl, SYSTEM, agent).await?;
        for forbidden in ["get nodes", "get pods --namespace l2sces-system"] {
            is_forbidden(kubectl, agent, &token, forbidden).await?;
        }
    }
    let plugin = token(kubectl, SYSTEM, "cni").await?;
    for allowed in [
        "get node a1",
        "get daemonset cni --namespace l2sces-system",
        "get namespace l2sces-system",
    ] {
        let output = try_as(kubectl, &plugin, allowed).await?;
        ensure!(output.status.success(), "the plugin may not {allowed}: {}", output.stderr);
    }
    for forbidden in [
        "get daemonset sps-agent --namespace l2sces-system",
        "get namespace default",
        "get secrets --namespace l2sces-system",
        "label node a1 any=any",
    ] {
        is_forbidden(kubectl, "cni", &plugin, forbidden).await?;
    }
    Ok(())
}

async fn is_forbidden(kubectl: &Kubectl, who: &str, token: &str, line: &str) -> Result<()> {
    let output = try_as(kubectl, token, line).await?;
    ensure!(
        !output.status.success() && output.stderr.contains("Forbidden"),
        "{who}: kubectl {line}: {}: {}",
        output.status,
        output.stderr
    );
    Ok(())
}

async fn try_as(kubectl: &Kubectl, token: &str, line: &str) -> Result<l2sces_lab::command::Output> {
    let token = format!("--token={token}");
    Ok(kubectl.output(std::iter::once(token.as_str()).chain(line.split_whitespace())).await?)
}
