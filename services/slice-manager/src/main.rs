//! The slice-manager's process: see the library.

use anyhow::Context;
use clap::Parser;
use l2sces_grpc::shutdown_signal;
use slice_manager::{Config, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry =
        l2sces_telemetry::init("slice-manager", &config.telemetry).context("set up telemetry")?;
    run(config, shutdown_signal()).await
}
