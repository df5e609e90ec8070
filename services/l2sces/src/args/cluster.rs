use std::{fmt, fs};

use clap::{Args, Subcommand};
use l2sces_proto::slice::v1::{
    self, Cluster, DirectDriver, Gateway, KubernetesDriver, Node, cluster_spec::Driver,
};

use super::{
    DeleteArgs, JoinArgs, LeaveArgs, NodeLeftArgs, UpdateArgs, WriteArgs, compound::Compound,
};
use crate::manifest::DriftPolicy;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    #[command(flatten)]
    Registered(Box<RegisteredClusterCommand>),
    /// Print, or apply, everything that a Kubernetes cluster needs to have networks
    Join(Box<JoinArgs>),
    /// Remove all of that from a Kubernetes cluster, and tell what is left
    Leave(Box<LeaveArgs>),
    /// Tell by exit status 0 that a node of a Kubernetes cluster has left: the network plugin is to be taken
    /// out of it. Asked by the plugin's pod when it ends, as its service account
    NodeLeft(Box<NodeLeftArgs>),
}

/// On clusters as the slice-manager knows them.
#[derive(Debug, Subcommand)]
pub(crate) enum RegisteredClusterCommand {
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
        /// It never comes back: give up what is in it
        #[arg(long)]
        force: bool,
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
    #[command(flatten)]
    pub(crate) kubernetes: KubernetesFlags,
    /// A host: underlay=ADDRESS that its tunnels end on and agent=ENDPOINT of its sps-agent; a
    /// gateway also has gateway-agent=ENDPOINT of its ned-agent and gateway-underlay=ADDRESS that
    /// tunnels to other clusters end on (default: that of underlay); label=KEY=VALUE of each label.
    /// Hosts of a Kubernetes cluster have no endpoints, and those with gateway-underlay are gateways.
    /// Repeat for every host
    #[arg(long = "node", value_name = "NAME,KEY=VALUE...", value_parser = parse_node)]
    pub(crate) nodes: Vec<Node>,
}

/// How a Kubernetes cluster is reached.
#[derive(Debug, Args)]
#[group(id = "kubernetes-cluster", multiple = true, conflicts_with = "controller")]
pub(crate) struct KubernetesFlags {
    /// API server of a Kubernetes cluster
    #[arg(long = "kubernetes", value_name = "https://HOST:PORT")]
    pub(crate) api_endpoint: Option<String>,
    /// File with the authorities that may have issued the API server's certificate, PEM
    #[arg(long, value_name = "PATH", value_parser = read)]
    pub(crate) kubernetes_ca: Option<FileText>,
    /// File with the bearer token as whose owner the slice-manager acts in the Kubernetes cluster
    #[arg(long, value_name = "PATH", value_parser = read)]
    pub(crate) kubernetes_token_file: Option<FileText>,
    /// File with all of that in the form of a kubeconfig, of which the current context counts
    #[arg(
        long,
        value_name = "PATH",
        value_parser = read,
        conflicts_with_all = ["api_endpoint", "kubernetes_ca", "kubernetes_token_file"]
    )]
    pub(crate) kubernetes_kubeconfig: Option<FileText>,
    /// Namespace of the custom resources and of the pods that join networks [default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) kubernetes_namespace: Option<String>,
    /// What is done about custom resources that others have changed [default: mend]
    #[arg(long, value_name = "POLICY")]
    pub(crate) drift_policy: Option<DriftPolicy>,
}

impl KubernetesFlags {
    fn is_empty(&self) -> bool {
        self.api_endpoint.is_none()
            && self.kubernetes_ca.is_none()
            && self.kubernetes_token_file.is_none()
            && self.kubernetes_kubeconfig.is_none()
            && self.kubernetes_namespace.is_none()
            && self.drift_policy.is_none()
    }

    fn change(self, driver: &mut KubernetesDriver) {
        if let Some(api_endpoint) = self.api_endpoint {
            driver.api_endpoint = api_endpoint;
        }
        if let Some(FileText(ca_pem)) = self.kubernetes_ca {
            driver.ca_pem = ca_pem;
        }
        if let Some(FileText(token)) = self.kubernetes_token_file {
            driver.bearer_token = token;
        }
        if let Some(FileText(kubeconfig)) = self.kubernetes_kubeconfig {
            let kept = (std::mem::take(&mut driver.namespace), driver.drift_policy);
            *driver = KubernetesDriver { kubeconfig, ..KubernetesDriver::default() };
            (driver.namespace, driver.drift_policy) = kept;
        }
        if let Some(namespace) = self.kubernetes_namespace {
            driver.namespace = namespace;
        }
        if let Some(policy) = self.drift_policy {
            driver.drift_policy = v1::DriftPolicy::from(policy).into();
        }
    }
}

/// What a file holds: a secret, perhaps.
#[derive(Clone)]
pub(crate) struct FileText(String);

impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileText(..)")
    }
}

fn read(path: &str) -> Result<FileText, String> {
    fs::read_to_string(path).map(FileText).map_err(|error| error.to_string())
}

impl ClusterFlags {
    /// Puts what the flags name into the cluster.
    pub(crate) fn change(self, cluster: &mut Cluster) {
        let spec = cluster.spec.get_or_insert_default();
        if let Some(controller_endpoint) = self.controller {
            spec.driver = Some(Driver::Direct(DirectDriver { controller_endpoint }));
        }
        if !self.kubernetes.is_empty() {
            let mut driver = match spec.driver.take() {
                Some(Driver::Kubernetes(driver)) => driver,
                _ => KubernetesDriver::default(),
            };
            self.kubernetes.change(&mut driver);
            spec.driver = Some(Driver::Kubernetes(driver));
        }
        if !self.nodes.is_empty() {
            spec.nodes = self.nodes;
        }
    }
}

pub(super) fn parse_node(text: &str) -> Result<Node, String> {
    let keys = ["underlay", "agent", "gateway-agent", "gateway-underlay", "label"];
    let node = Compound::parse(text, &keys)?;
    let underlay = node.one("underlay")?.ok_or("underlay=ADDRESS is missing")?;
    // Of a Kubernetes cluster it is not known.
    let agent = node.one("agent")?.unwrap_or_default();
    let gateway = match (node.one("gateway-agent")?, node.one("gateway-underlay")?) {
        (None, None) => None,
        (None, Some(_)) if !agent.is_empty() => {
            return Err("gateway-underlay needs gateway-agent=ENDPOINT".into());
        }
        (gateway_agent, address) => Some(Gateway {
            agent_endpoint: gateway_agent.unwrap_or_default().to_owned(),
            underlay_address: address.unwrap_or(underlay).to_owned(),
        }),
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
    fn a_node_of_a_kubernetes_cluster_has_no_agents() {
        let node = parse_node("a1,underlay=10.1.0.1,gateway-underlay=10.9.0.1").unwrap();
        assert_eq!(node.agent_endpoint, "");
        let gateway = node.gateway.unwrap();
        assert_eq!(
            (gateway.agent_endpoint.as_str(), gateway.underlay_address.as_str()),
            ("", "10.9.0.1")
        );
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
            "a1,agent=https://a1:1",
            "a1,underlay=10.1.0.1,agent=https://a1:1,gateway-underlay=10.9.0.1",
        ] {
            assert!(parse_node(text).is_err(), "{text}");
        }
    }
}
