use std::path::PathBuf;

use l2sces_grpc::ServerArgs;
use l2sces_postgres::PostgresArgs;
use l2sces_telemetry::TelemetryArgs;

use crate::vault::{KeyFileError, Vault};

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
    /// File with the keys that seal the credentials of Kubernetes clusters: a line each, an id and 32
    /// random bytes in base64. The first seals, all open. Without it there can be no such clusters
    #[arg(long, env = "L2SCES_ENCRYPTION_KEY_FILE", value_name = "PATH")]
    pub encryption_key_file: Option<PathBuf>,
    /// What is logged, and how.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl Config {
    /// The keys for secrets at rest.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn vault(&self) -> Result<Vault, KeyFileError> {
        self.encryption_key_file.as_deref().map_or_else(|| Ok(Vault::default()), Vault::read)
    }
}
