//! The SDN controller of one cluster.

use clap::Parser;
use sdn_controller::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = l2sces_telemetry::init("sdn-controller", &config.telemetry)?;
    sdn_controller::run(config).await
}
