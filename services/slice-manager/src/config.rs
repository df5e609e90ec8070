use l2sces_grpc::ServerArgs;
use l2sces_postgres::PostgresArgs;
use l2sces_telemetry::TelemetryArgs;

/// The one entry point of l2sces: stores which clusters, slices, networks and ports are wanted, and
/// has the sco-provider and the clusters' sdn-controllers make it so.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Config {
    /// Where and how gRPC is served.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Where desired state is kept.
    #[command(flatten)]
    pub database: PostgresArgs,
    /// Endpoint of the sco-provider, such as https://10.0.0.1:50060
    #[arg(long, env = "L2SCES_SCO_PROVIDER", value_name = "URL")]
    pub sco_provider: String,
    /// What is logged, and how.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}
