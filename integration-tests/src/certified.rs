//! Agents in pods have certificates of the sco-provider's authority, and start without it.

use anyhow::{Result, ensure};
use l2sces_lab::{Kubectl, Lab, Unit, command};

use crate::kubernetes::{KubernetesWorld, SYSTEM, shows};

/// A node that is a gateway, and its cluster.
const NODE: &str = "a1";
const CLUSTER: &str = "a";

/// Has agents start anew while the sco-provider is away: they keep their certificates, which name their
/// cluster. There must be agents of both kinds on the node.
pub async fn agents_start_while_nobody_signs(world: &KubernetesWorld) -> Result<()> {
    let kubectl = world.kubectl(CLUSTER)?;
    let mut before = Vec::new();
    for agent in ["sps-agent", "ned-agent"] {
        let shown = certificate(&world.lab, agent).await?;
        let identity = format!("spiffe://l2sces/{agent}/{CLUSTER}/{NODE}\n");
        ensure!(shown.contains(&identity), "{agent}: {shown}");
        before.push(shown);
    }
    world.lab.kill(&Unit::ScoProvider).await?;
    for (agent, before) in ["sps-agent", "ned-agent"].into_iter().zip(&before) {
        start_anew(&kubectl, agent).await?;
        let after = certificate(&world.lab, agent).await?;
        ensure!(after == *before, "{agent}: {after}");
    }
    // Which the operator has noticed, so that what it says next is news.
    gateways_are(&kubectl, "Unreachable").await?;
    world.lab.start(&Unit::ScoProvider).await?;
    gateways_are(&kubectl, "Ready").await?;
    // Once somebody signs, there is another.
    start_anew(&kubectl, "sps-agent").await?;
    let after = certificate(&world.lab, "sps-agent").await?;
    ensure!(after != before[0], "{after}");
    Ok(())
}

/// Waits until the operator gives this as the reason why gateways are ready or not, which it has of the
/// sco-provider.
async fn gateways_are(kubectl: &Kubectl, reason: &str) -> Result<()> {
    let reasons = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].reason}";
    let ask = ["get", "networkedgedevice", "--all-namespaces", "--output", reasons];
    shows(kubectl, &ask, |reasons| reasons == reason).await.map(drop)
}

/// What the certificate of an agent says.
async fn certificate(lab: &Lab, agent: &str) -> Result<String> {
    let mut show = lab.node_command(NODE, lab.layout().binaries.join("l2sces"))?;
    show.args(["pki", "show", &format!("/run/l2sces/{agent}/own.pem")]);
    Ok(command::run(&mut show).await?)
}

/// Deletes the node's pod of an agent, and waits until another is ready.
async fn start_anew(kubectl: &Kubectl, agent: &str) -> Result<()> {
    let on_node = format!("--field-selector=spec.nodeName={NODE}");
    let of_agent = format!("--selector=app={agent}");
    let pod = ["pods", "--namespace", SYSTEM, &on_node, &of_agent];
    let uid = ["--output", "jsonpath={.items[*].metadata.uid}"];
    let before = kubectl.run(["get"].iter().chain(&pod).chain(&uid)).await?;
    kubectl.run(["delete"].iter().chain(&pod)).await?;
    let state = "jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].ready}";
    let state = [&["get"], &pod[..], &["--output", state]].concat();
    shows(kubectl, &state, |state| !state.contains(&before) && state.ends_with(" true true"))
        .await?;
    Ok(())
}
