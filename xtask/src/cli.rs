//! The real command line, run against an installation as a person would.

use anyhow::{Result, bail};
use l2sces_lab::{
    Pod,
    layout::{Cluster, Node},
};

use crate::{narrator::Narrator, site::Site};

/// Runs `l2sces` as an administrator.
pub(crate) struct Cli<'a, S> {
    site: &'a S,
    narrator: &'a Narrator,
}

impl<'a, S: Site> Cli<'a, S> {
    pub(crate) fn new(site: &'a S, narrator: &'a Narrator) -> Self {
        Self { site, narrator }
    }

    /// Shows a command and runs it; it must succeed. Returns what it printed.
    pub(crate) async fn run(&self, arguments: &[String]) -> Result<String> {
        self.narrator.say(&format!("$ l2sces {}", arguments.join(" ")));
        self.run_silently(arguments).await
    }

    /// Runs a command without showing it; it must succeed. Returns what it printed.
    pub(crate) async fn run_silently(&self, arguments: &[String]) -> Result<String> {
        let output = self.site.l2sces(arguments).await?;
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
    site: &impl Site,
    pod: &Pod,
    network: &str,
    address: &str,
    mac: &str,
) -> Result<Vec<String>> {
    let node = pod.node();
    Ok(words(&format!(
        "port attach {node} --slice s1 --network {network} --cluster {} --node {node} \
         --namespace {} --address {address} --mac {mac}",
        site.cluster_of(node)?,
        pod.path(),
    )))
}
