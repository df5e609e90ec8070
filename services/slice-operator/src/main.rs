//! The operator of the control cluster.

use clap::Parser;
use slice_operator::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = l2sces_telemetry::init("slice-operator", &config.telemetry)?;
    slice_operator::run(config).await
}
