//! Flags, each with an environment variable.

use clap::Parser;
use l2sces_grpc::ServerArgs;
use l2sces_telemetry::TelemetryArgs;

/// The operator of the control cluster: carries out its custom resources (SliceOverlay, SliceNetwork,
/// ProviderProfile) by asking the slice-manager, by gRPC. The API server is found as kubectl finds it:
/// by the service account of the pod, else by KUBECONFIG. Any number of replicas may run; one of them
/// leads and reconciles.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Endpoint of the slice-manager, such as https://slice-manager.l2sces-system:50051
    #[arg(long, env = "L2SCES_SLICE_MANAGER", value_name = "URL")]
    pub slice_manager: String,
    /// Namespace that the operator runs in, where its Lease is
    #[arg(long, env = "L2SCES_NAMESPACE", default_value = "l2sces-system")]
    pub namespace: String,
    /// Name of this replica among all, such as that of its pod
    #[arg(long, env = "L2SCES_REPLICA", value_name = "NAME")]
    pub replica: String,
    /// How health and reflection are served.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What is logged.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Config::command().debug_assert();
    }
}
