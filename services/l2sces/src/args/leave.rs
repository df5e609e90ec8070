use std::time::Duration;

use clap::Args;
use l2sces_model::Name;

use super::{KubeconfigFlags, duration};

#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Name of the cluster
    pub(crate) name: Name,
    /// Show what there is that would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave also while slices of the slice-manager have the cluster: it stays registered, and they fail
    /// there until they are changed. And give up what the operator does not clean up in time: it stays
    /// on nodes and in the services
    #[arg(long)]
    pub(crate) force: bool,
    /// Keep the definitions of the custom resources, but none of the resources
    #[arg(long)]
    pub(crate) keep_crds: bool,
    /// Endpoint of the sco-provider, which is asked what it has of the cluster [default: that which the
    /// cluster uses]
    #[arg(long, value_name = "https://HOST:PORT")]
    pub(crate) sco_provider: Option<String>,
    /// Endpoint of the inter-domain-dns (gRPC), which is asked for names in the cluster [default: it is
    /// not asked]
    #[arg(long, value_name = "https://HOST:PORT")]
    pub(crate) inter_domain_dns: Option<String>,
    #[command(flatten)]
    pub(crate) kubeconfig: KubeconfigFlags,
    /// Longest to wait for each step, such as 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}
