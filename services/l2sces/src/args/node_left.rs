//! Whether a node has left.

use std::time::Duration;

use clap::Args;

use super::{KubeconfigFlags, duration};

#[derive(Debug, Args)]
pub(crate) struct NodeLeftArgs {
    /// Name of the node, as Kubernetes has it
    pub(crate) node: String,
    /// DaemonSet of namespace l2sces-system that keeps the network plugin on the node
    #[arg(long, value_name = "NAME", default_value = "cni")]
    pub(crate) daemon_set: String,
    #[command(flatten)]
    pub(crate) kubeconfig: KubeconfigFlags,
    /// Longest to wait for the API server, such as 20s
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}
