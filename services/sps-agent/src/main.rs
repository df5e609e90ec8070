//! The agent of a node's cluster bridge.

use clap::Parser;
use l2sces_switch_agent::{AgentArgs, AgentKind};

/// The agent of a node's cluster bridge: makes it, its tunnels and its ports through OVSDB, as its
/// controller says by gRPC (l2sces.switch.v1)
#[derive(Parser)]
#[command(name = "sps-agent", version)]
struct Config {
    #[command(flatten)]
    agent: AgentArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Config { agent } = Config::parse();
    let _telemetry = l2sces_telemetry::init("sps-agent", &agent.telemetry)?;
    l2sces_switch_agent::run(AgentKind::Sps, agent).await
}
