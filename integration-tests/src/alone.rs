//! A node of a Kubernetes cluster whose pods have our networks and no other, for a while.

use anyhow::{Result, ensure};
use l2sces_lab::{Kubectl, Lab, command, wait};

use crate::kubernetes::{KubernetesWorld, PATIENCE, SYSTEM, is_answered, shows};

/// The node, and its cluster.
const NODE: &str = "b2";
const CLUSTER: &str = "b";

/// The pods that are made there: their networks, and the addresses that they ask for.
const PODS: [(&str, &str); 2] = [("blue", "10.1.0.201"), ("red", "10.1.0.202")];

/// Whoever is in a network already, in the other cluster: `<network>-a1`.
const ELSEWHERE: &str = "a1";

/// Has a node's runtime call our plugin only, and then others again: pods that are made meanwhile have
/// their first network as `eth0` and are known by its address; one that asks for no network is told why
/// it cannot start, and starts when the node is as it was. On each node of the clusters `a` and `b` there
/// must be a pod `<network>-<node>` in each of the networks `blue` and `red`, which have `10.1.0.0/24`.
pub async fn a_node_has_our_networks_only_for_a_while(world: &KubernetesWorld) -> Result<()> {
    let kubectl = world.kubectl(CLUSTER)?;
    let before = interfaces(&world.lab).await?;
    set_mode(&kubectl, "L2SCES_CNI_MODE=alone").await?;
    one_that_asks_for_nothing_is_told(&kubectl).await?;
    kubectl.apply(&PODS.map(|(network, address)| pod(network, address)).join("---")).await?;
    let names = PODS.map(|(network, _)| name(network));
    let wait = ["wait", "--for=condition=Ready", "pod", &names[0], &names[1], "--timeout=360s"];
    kubectl.run(wait).await?;
    for (network, address) in PODS {
        has_address(&kubectl, &name(network), address).await?;
    }
    reach_their_network_and_no_other(world).await?;
    kubectl.run(["delete", "pod", &names[0], &names[1]]).await?;
    wait::holds("no interface is left of the pods", PATIENCE, || async {
        match interfaces(&world.lab).await.map_err(|error| error.to_string())? {
            found if found == before => Ok(()),
            found => Err(format!("{found:?}, before: {before:?}")),
        }
    })
    .await?;
    // The networks' own pods of the cluster are left.
    let pods = ["get", "l2network", "--output", "jsonpath={.items[*].status.connectedPodCount}"];
    shows(&kubectl, &pods, |pods| pods == "2 2").await?;
    set_mode(&kubectl, "L2SCES_CNI_MODE-").await?;
    let pod_network = &world.lab.layout().kubernetes.node(NODE)?.pod_network;
    let prefix = pod_network.trim_end_matches("0/24");
    let state = ["get", "pod", "plain", "--output", "jsonpath={.status.phase} {.status.podIP}"];
    shows(&kubectl, &state, |state| state.starts_with(&format!("Running {prefix}"))).await?;
    kubectl.run(["delete", "pod", "plain"]).await?;
    Ok(())
}

/// Has the node's plugin installed in another way: the variable is set for all, but a pod that runs keeps
/// what it has.
async fn set_mode(kubectl: &Kubectl, variable: &str) -> Result<()> {
    let of_system = ["--namespace", SYSTEM];
    kubectl.run(of_system.iter().chain(&["set", "env", "daemonset/cni", variable])).await?;
    let on_node = format!("--field-selector=spec.nodeName={NODE}");
    let restart = ["delete", "pod", "--selector=app=cni", &on_node];
    kubectl.run(of_system.iter().chain(&restart)).await?;
    Ok(())
}

/// A pod without networks, which was made when the runtime had noticed the change.
async fn one_that_asks_for_nothing_is_told(kubectl: &Kubectl) -> Result<()> {
    let plain = manifest("plain", "");
    wait::holds("a pod without networks is told why it cannot start", PATIENCE, || async {
        let run = async |arguments: &[&str]| {
            kubectl.run(arguments).await.map_err(|error| error.to_string())
        };
        kubectl.apply(&plain).await.map_err(|error| error.to_string())?;
        let told = ["get", "events", "--field-selector=involvedObject.name=plain", "--output"];
        let told = run(&[&told[..], &["jsonpath={.items[*].message}"]].concat()).await?;
        if told.contains("pod default/plain asks for no network") {
            return Ok(());
        }
        let phase = run(&["get", "pod", "plain", "--output", "jsonpath={.status.phase}"]).await?;
        if phase == "Running" {
            run(&["delete", "pod", "plain"]).await?;
        }
        Err(format!("{phase}: {told}"))
    })
    .await?;
    Ok(())
}

/// A pod is known by the address that it asked for, which its only interface has.
async fn has_address(kubectl: &Kubectl, pod: &str, address: &str) -> Result<()> {
    let known = ["get", "pod", pod, "--output", "jsonpath={.status.podIP}"];
    let known = kubectl.run(known).await?;
    ensure!(known == address, "{pod} is known by {known}");
    let show = ["exec", pod, "--", "ip", "-oneline", "-4", "address", "show"];
    let shown = kubectl.run(show).await?;
    let others = shown.lines().filter(|line| !line.contains(" lo "));
    let others: Vec<_> = others.map(str::trim).collect();
    let is_it = |line: &&str| line.contains(" eth0 ") && line.contains(&format!(" {address}/24 "));
    ensure!(matches!(&others[..], [only] if is_it(only)), "{pod} has {shown}");
    Ok(())
}

/// To and from the other cluster.
async fn reach_their_network_and_no_other(world: &KubernetesWorld) -> Result<()> {
    let here = world.kubectl(CLUSTER)?;
    let there = world.kubectl(&ELSEWHERE[..1])?;
    for (network, address) in PODS {
        let from = format!("{network}-{ELSEWHERE}");
        answers(&there, &from, address).await?;
        let own = crate::kubernetes::address(&there, &from, "net1").await?;
        answers(&here, &name(network), &own).await?;
        for (_, foreign) in PODS.iter().filter(|(other, _)| *other != network) {
            let answered = ping(&there, &from, foreign, 1).await?;
            ensure!(!answered, "{foreign} answers {from}");
            let answered = ping(&here, &name(network), foreign, 1).await?;
            ensure!(!answered, "{foreign} answers {}", name(network));
        }
    }
    Ok(())
}

async fn answers(kubectl: &Kubectl, pod: &str, address: &str) -> Result<()> {
    wait::holds(&format!("{address} answers {pod}"), PATIENCE, || async {
        match ping(kubectl, pod, address, 5).await {
            Ok(true) => Ok(()),
            answered => Err(format!("answered: {answered:?}")),
        }
    })
    .await?;
    Ok(())
}

/// Whether an address answers a pod within this many seconds.
async fn ping(kubectl: &Kubectl, pod: &str, address: &str, patience: u8) -> Result<bool> {
    let patience = patience.to_string();
    let ping = ["exec", pod, "--", "ping", "-c", "1", "-W", &patience, address];
    is_answered(&kubectl.output(ping).await?)
}

/// The interfaces of ports on the node.
async fn interfaces(lab: &Lab) -> Result<Vec<String>> {
    let mut links = lab.node_command(NODE, "ip")?;
    let links = command::run(links.args(["-oneline", "link", "show"])).await?;
    let names = links.lines().filter_map(|line| line.split(": ").nth(1));
    Ok(names.filter(|name| name.starts_with("l2p-")).map(str::to_owned).collect())
}

fn name(network: &str) -> String {
    format!("alone-{network}")
}

fn pod(network: &str, address: &str) -> String {
    let asked = format!(r#"[{{"name": "{network}", "ips": ["{address}"]}}]"#);
    let marks =
        format!("  labels: {{l2sm: \"true\"}}\n  annotations: {{l2sm/networks: '{asked}'}}\n");
    manifest(&name(network), &marks)
}

fn manifest(name: &str, marks: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: {name}
{marks}spec:
  nodeName: {NODE}
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: pod, image: \"l2sces-tools:lab\", command: [sleep, \"1000000\"]}}
"
    )
}
