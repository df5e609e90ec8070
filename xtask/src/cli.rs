//! The real command line, run against a lab as a person would.

use std::path::PathBuf;

use anyhow::{Result, bail};
use l2sces_lab::{
    Lab, Pod, command,
    layout::{Cluster, Node},
};

use crate::narrator::Narrator;

/// Runs `l2sces` in the control services' namespace.
pub(crate) struct Cli<'a> {
    lab: &'a Lab,
    narrator: &'a Narrator,
    program: PathBuf,
}

impl<'a> Cli<'a> {
    pub(crate) fn new(lab: &'a Lab, narrator: &'a Narrator) -> Self {
        Self { lab, narrator, program: lab.layout().binaries.join("l2sces") }
    }

    /// Shows a command and runs it; it must succeed. Returns what it printed.
    pub(crate) async fn run(&self, arguments: &[String]) -> Result<String> {
        self.narrator.say(&format!("$ l2sces {}", arguments.join(" ")));
        self.run_silently(arguments).await
    }

    /// Runs a command without showing it; it must succeed. Returns what it printed.
    pub(crate) async fn run_silently(&self, arguments: &[String]) -> Result<String> {
        let mut l2sces = self.lab.control().command(&self.program)?;
        l2sces.envs(self.lab.environment()?).args(arguments);
        let output = command::output(&mut l2sces).await?;
        if !output.status.success() {
            bail!("l2sces {}: {}", arguments.join(" "), output.stderr.trim());
        }
        Ok(output.stdout)
    }
}

/// Words of a command.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Registers a cluster of the lab.
pub(crate) fn create_cluster(cluster: &Cluster) -> Vec<String> {
    let mut line = words(&format!(
        "cluster create {} --controller {}",
        cluster.name, cluster.controller.endpoint
    ));
    for node in &cluster.nodes {
        line.extend(["--node".to_owned(), describe_node(node)]);
    }
    line
}

fn describe_node(node: &Node) -> String {
    let mut text = format!(
        "{},underlay={},agent={}",
        node.name, node.underlay_address, node.sps_agent.endpoint
    );
    if let Some(gateway) = &node.gateway {
        text += &format!(
            ",gateway-agent={},gateway-underlay={}",
            gateway.ned_agent.endpoint, gateway.wan_address
        );
    }
    text
}

/// Attaches a pod to a network of slice `s1`, as a port named after the pod's node.
pub(crate) fn attach_port(
    lab: &Lab,
    pod: &Pod,
    network: &str,
    address: &str,
    mac: &str,
) -> Result<Vec<String>> {
    let node = lab.node(pod.node())?;
    Ok(words(&format!(
        "port attach {} --slice s1 --network {network} --cluster {} --node {} --namespace {} \
         --address {address} --mac {mac}",
        node.name,
        node.cluster,
        node.name,
        pod.path(),
    )))
}
