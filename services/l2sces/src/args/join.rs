//! How a Kubernetes cluster joins.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use l2sces_model::Name;
use l2sces_proto::slice::v1::Node;

use super::{cluster::parse_node, duration};

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Name of the cluster, a DNS label
    pub(crate) name: Name,
    /// Apply it to the cluster, wait until it is ready, and register the cluster at the slice-manager;
    /// otherwise it is printed, for kubectl
    #[arg(long)]
    pub(crate) apply: bool,
    /// Directory of the authority (`pki init`). The certificates of the cluster are issued there, and
    /// taken from there while they last
    #[arg(long, value_name = "DIR")]
    pub(crate) pki: PathBuf,
    /// Endpoint of the sco-provider, as the pods of the cluster reach it
    #[arg(long, value_name = "https://HOST:PORT")]
    pub(crate) sco_provider: String,
    #[command(flatten)]
    pub(crate) database: DatabaseFlags,
    /// Address of the inter-domain-dns: the cluster's CoreDNS forwards our names to it [default: it
    /// does not]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) dns: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) workloads: WorkloadFlags,
    #[command(flatten)]
    pub(crate) registration: RegistrationFlags,
    /// Print private keys and the database's URL to a terminal too
    #[arg(long, conflicts_with = "apply")]
    pub(crate) show_secrets: bool,
    #[command(flatten)]
    pub(crate) kubeconfig: KubeconfigFlags,
    /// Longest to wait until the operator, its webhook and the sdn-controller are ready, such as 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// The database of the cluster's sdn-controller.
#[derive(Debug, Args)]
#[group(id = "database", required = true, multiple = false)]
pub(crate) struct DatabaseFlags {
    /// URL of the sdn-controller's database, postgres://ROLE:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "L2SCES_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// File with that URL
    #[arg(long, value_name = "FILE")]
    pub(crate) database_url_file: Option<PathBuf>,
    /// Secret of namespace l2sces-system that has that URL in its key `url` already
    #[arg(long, value_name = "NAME")]
    pub(crate) database_secret: Option<String>,
}

/// How our workloads run.
#[derive(Debug, Args)]
pub(crate) struct WorkloadFlags {
    /// Registry of the images l2sces and l2sces-node, such as registry.example/team [default: none,
    /// the nodes have them]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) registry: Option<String>,
    /// Tag of the images
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    pub(crate) tag: String,
    /// When images are pulled [default: as Kubernetes decides by the tag]
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull_policy: Option<PullPolicy>,
    /// Datapath of Open vSwitch
    #[arg(long, default_value = "system")]
    pub(crate) datapath: Datapath,
    /// Replicas of the operator
    #[arg(long, value_name = "NUMBER", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) operators: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Datapath {
    /// The kernel's, by its module openvswitch
    System,
    /// In user space: slower, and needs no module
    Netdev,
}

/// As Kubernetes spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How the slice-manager knows the cluster.
#[derive(Debug, Args)]
pub(crate) struct RegistrationFlags {
    /// Give the slice-manager no access, and do not register the cluster: only kubectl asks for
    /// networks
    #[arg(long)]
    pub(crate) no_register: bool,
    /// Namespace of the slice-manager's custom resources and of the pods that join its networks
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) kubernetes_namespace: String,
    /// API server as the slice-manager reaches it [default: as the kubeconfig has it]
    #[arg(long, value_name = "https://HOST:PORT")]
    pub(crate) kubernetes: Option<String>,
    /// A node: underlay=ADDRESS that its tunnels end on; of a gateway also gateway-underlay=ADDRESS that
    /// tunnels to other clusters end on. Repeat for every node [default: every node that the cluster
    /// has, at its InternalIP, with the first one of its control plane as the gateway]
    #[arg(long = "node", value_name = "NAME,KEY=VALUE...", value_parser = parse_node)]
    pub(crate) nodes: Vec<Node>,
}

/// Which Kubernetes cluster.
#[derive(Debug, Args)]
pub(crate) struct KubeconfigFlags {
    /// How to reach the cluster [default: as kubectl finds it]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}
