//! Authoritative DNS for endpoints across clusters.

use clap::Parser;
use inter_domain_dns::{Config, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = l2sces_telemetry::init("inter-domain-dns", &config.telemetry)?;
    run(config).await
}
