//! The inter-cluster SDN controller.

use clap::Parser;
use sco_provider::{Config, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = l2sces_telemetry::init("sco-provider", &config.telemetry)?;
    run(config).await
}
