//! Kubernetes clusters join and leave by the command line, as an administrator has them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use l2sces_lab::{
    Kubectl, Lab,
    command::{self, Output},
};
use serde_json::Value;
use tokio::process::Command;

/// `l2sces cluster` with a cluster's kubeconfig, where the lab's services are.
pub fn l2sces_cluster(lab: &Lab, cluster: &str) -> Result<Command> {
    let layout = lab.layout();
    let mut command = lab.control().command(layout.binaries.join("l2sces"))?;
    let kubeconfig = &layout.kubernetes.cluster(cluster)?.kubeconfig;
    command.arg("cluster").envs(lab.environment()?).env("KUBECONFIG", kubeconfig);
    Ok(command)
}

/// `l2sces cluster join`, which must succeed; what it printed.
pub async fn join(lab: &Lab, cluster: &str, flags: &[&str]) -> Result<String> {
    let mut join = l2sces_cluster(lab, cluster)?;
    join.arg("join").args(lab.join_flags(cluster)?).args(flags);
    Ok(command::run(&mut join).await?)
}

/// `l2sces cluster leave`.
pub fn leave(lab: &Lab, cluster: &str, flags: &[&str]) -> Result<Command> {
    let mut leave = l2sces_cluster(lab, cluster)?;
    let dns = &lab.layout().service(&l2sces_lab::Unit::InterDomainDns)?.endpoint;
    let services =
        ["--sco-provider", &lab.layout().service(&l2sces_lab::Unit::ScoProvider)?.endpoint];
    leave.args(["leave", cluster, "--inter-domain-dns", dns]).args(services).args(flags);
    Ok(leave)
}

/// The same, which must find nothing left.
pub async fn leave_nothing(lab: &Lab, cluster: &str, flags: &[&str]) -> Result<()> {
    let left = command::output(&mut leave(lab, cluster, flags)?).await?;
    let said = format!("nothing is left of cluster {cluster}\n");
    ensure!(left.status.success() && left.stdout.contains(&said), "{}", shown(&left));
    ensure!(!left.stderr.contains("not looked at"), "{}", shown(&left));
    Ok(())
}

/// Output as it is shown when it is not as it should be.
pub fn shown(output: &Output) -> String {
    format!("{}\n{}{}", output.status, output.stdout, output.stderr)
}

/// What an API server has of us, one line each, found by kubectl and not by what is tested.
pub async fn objects_left(kubectl: &Kubectl) -> Result<Vec<String>> {
    let kinds = kubectl.run(["api-resources", "--verbs=list", "--output=name"]).await?;
    let kinds: Vec<_> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let ask = ["get", &kinds.join(","), "--all-namespaces", "--ignore-not-found", "--output=name"];
    let all = kubectl.run(ask).await?;
    let is_ours = |name: &&str| name.contains("l2sces") || name.contains("l2sm");
    let mut left: Vec<_> = all.lines().filter(is_ours).map(str::to_owned).collect();
    let marks = "jsonpath={.items[*].metadata.labels} {.items[*].metadata.annotations}";
    let marks = kubectl.run(["get", "nodes", "--output", marks]).await?;
    let corefile = ["get", "configmap", "coredns", "--namespace=kube-system", "--output"];
    let text = ["jsonpath={.data.Corefile}", "--ignore-not-found"];
    let corefile = kubectl.run(corefile.iter().chain(&text)).await?;
    for (what, text) in [("nodes", marks), ("the Corefile", corefile)] {
        if text.contains("l2sces") {
            left.push(format!("{what}: {text}"));
        }
    }
    Ok(left)
}

/// Manifests by kind, namespace and name.
pub fn by_name(text: &str) -> Result<BTreeMap<[String; 3], Value>> {
    let mut objects = BTreeMap::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let object: Value = serde::Deserialize::deserialize(document)?;
        let name = |pointer: &str| {
            let text = object.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let key = [name("/kind"), name("/metadata/namespace"), name("/metadata/name")];
        ensure!(!key[0].is_empty() && !key[2].is_empty(), "no manifest: {object}");
        objects.insert(key, object);
    }
    Ok(objects)
}

/// `l2sces` prints of a cluster what `kubectl kustomize` makes of a directory of our manifests, and besides only
/// what is another in every cluster.
pub async fn prints_what_kustomize_makes(
    lab: &Lab,
    kubectl: &Kubectl,
    directory: &str,
    flags: &[&str],
) -> Result<()> {
    let built = kubectl.run(["kustomize", &crate::kubernetes::manifests_of(directory)]).await?;
    let built = by_name(&built)?;
    let pki = lab.layout().directory.join("pki").display().to_string();
    let mut join = l2sces_cluster(lab, "a")?;
    join.args(["join", "a", "--pki", &pki, "--sco-provider", "https://sco-provider.example:50060"]);
    join.args(["--database-secret", "sdn-controller-database", "--no-register"]).args(flags);
    let mut printed = by_name(&command::run(&mut join).await?)?;
    for (name, wanted) in built {
        let mut found =
            printed.remove(&name).with_context(|| format!("{name:?} is not printed"))?;
        // What has the Deployments start anew when their configuration is another.
        if let Some(pod) =
            found.pointer_mut("/spec/template/metadata").and_then(Value::as_object_mut)
        {
            pod.remove("annotations");
        }
        let (found, wanted) = (ordered(found), ordered(wanted));
        ensure!(found == wanted, "{directory}: {name:?} is {found}, not {wanted}");
    }
    let known = ["CustomResourceDefinition", "Secret", "ConfigMap"];
    let others: Vec<_> =
        printed.keys().filter(|[kind, ..]| !known.contains(&kind.as_str())).collect();
    ensure!(others.is_empty(), "{directory}: {others:?} are printed besides");
    Ok(())
}

/// A manifest with variables in the order of their names: kustomize puts its own before the others.
fn ordered(mut manifest: Value) -> Value {
    let containers = manifest.pointer_mut("/spec/template/spec/containers");
    for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(variables) = container.get_mut("env").and_then(Value::as_array_mut) {
            variables.sort_by_key(|variable| variable["name"].to_string());
        }
    }
    manifest
}
