use clap::{Args, Subcommand};
use l2sces_proto::slice::v1::{Cluster, DirectDriver, Gateway, Node, cluster_spec::Driver};

use super::{DeleteArgs, UpdateArgs, WriteArgs, compound::Compound};

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Register a cluster
    Create {
        /// Name of the cluster
        name: String,
        #[command(flatten)]
        flags: ClusterFlags,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Show a cluster
    Get {
        /// Name of the cluster
        name: String,
    },
    /// Show all clusters
    List,
    /// Change what is wanted of a cluster; what no flag names stays as it is
    Update {
        /// Name of the cluster
        name: String,
        #[command(flatten)]
        flags: ClusterFlags,
        /// Give up nodes that are not there any more without waiting for them
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        update: UpdateArgs,
    },
    /// Delete a cluster
    Delete {
        /// Name of the cluster
        name: String,
        #[command(flatten)]
        delete: DeleteArgs,
    },
    /// Show every change until interrupted
    Watch {
        /// Name of the cluster; none: all
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClusterFlags {
    /// Endpoint of the cluster's sdn-controller
    #[arg(long, value_name = "https://HOST:PORT")]
    pub(crate) controller: Option<String>,
    /// A host: underlay=ADDRESS that its tunnels end on and agent=ENDPOINT of its sps-agent; a
    /// gateway also has gateway-agent=ENDPOINT of its ned-agent and gateway-underlay=ADDRESS that
    /// tunnels to other clusters end on (default: that of underlay); label=KEY=VALUE of each label.
    /// Repeat for every host
    #[arg(long = "node", value_name = "NAME,KEY=VALUE...", value_parser = parse_node)]
    pub(crate) nodes: Vec<Node>,
}

impl ClusterFlags {
    /// Puts what the flags name into the cluster.
    pub(crate) fn change(self, cluster: &mut Cluster) {
        let spec = cluster.spec.get_or_insert_default();
        if let Some(controller_endpoint) = self.controller {
            spec.driver = Some(Driver::Direct(DirectDriver { controller_endpoint }));
        }
        if !self.nodes.is_empty() {
            spec.nodes = self.nodes;
        }
    }
}

fn parse_node(text: &str) -> Result<Node, String> {
    let keys = ["underlay", "agent", "gateway-agent", "gateway-underlay", "label"];
    let node = Compound::parse(text, &keys)?;
    let underlay = node.one("underlay")?.ok_or("underlay=ADDRESS is missing")?;
    let agent = node.one("agent")?.ok_or("agent=ENDPOINT is missing")?;
    let gateway = match (node.one("gateway-agent")?, node.one("gateway-underlay")?) {
        (Some(agent), address) => Some(Gateway {
            agent_endpoint: agent.to_owned(),
            underlay_address: address.unwrap_or(underlay).to_owned(),
        }),
        (None, Some(_)) => return Err("gateway-underlay needs gateway-agent=ENDPOINT".into()),
        (None, None) => None,
    };
    Ok(Node {
        name: node.name.to_owned(),
        underlay_address: underlay.to_owned(),
        agent_endpoint: agent.to_owned(),
        gateway,
        labels: node.labels("label")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_be_a_gateway() {
        let node = parse_node("a1,underlay=10.1.0.1,agent=https://a1:50053").unwrap();
        assert_eq!((node.name.as_str(), node.gateway), ("a1", None));
        let node = parse_node(
            "a1,underlay=10.1.0.1,agent=https://a1:50053,gateway-agent=https://a1:50054",
        )
        .unwrap();
        let gateway = node.gateway.unwrap();
        assert_eq!(gateway.agent_endpoint, "https://a1:50054");
        assert_eq!(gateway.underlay_address, "10.1.0.1");
    }

    #[test]
    fn a_node_may_have_labels() {
        let text = "a1,underlay=10.1.0.1,agent=https://a1:50053,label=size=large,label=b.c/d=";
        let labels = parse_node(text).unwrap().labels;
        assert_eq!(
            labels.into_iter().collect::<Vec<_>>(),
            [("b.c/d".to_owned(), String::new()), ("size".to_owned(), "large".to_owned()),]
        );
        for label in ["label=size", "label=size=a,label=size=b"] {
            let text = format!("a1,underlay=10.1.0.1,agent=https://a1:1,{label}");
            assert!(parse_node(&text).is_err(), "{label}");
        }
    }

    #[test]
    fn a_node_that_lacks_something_is_refused() {
        for text in [
            "a1",
            "a1,underlay=10.1.0.1",
            "a1,agent=https://a1:1",
            "a1,underlay=10.1.0.1,agent=https://a1:1,gateway-underlay=10.9.0.1",
        ] {
            assert!(parse_node(text).is_err(), "{text}");
        }
    }
}
