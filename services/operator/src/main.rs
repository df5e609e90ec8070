//! The operator of one Kubernetes cluster.

use clap::Parser;
use operator::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = l2sces_telemetry::init("operator", &config.telemetry)?;
    operator::run(config).await
}
