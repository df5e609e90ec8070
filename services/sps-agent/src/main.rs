//! The agent of a node's cluster bridge.

mod attachment;

use anyhow::Context as _;
use clap::Parser;
use l2sces_grpc::{Dialer, shutdown_signal};
use l2sces_switch_agent::{AgentArgs, AgentKind};
use tokio_util::sync::CancellationToken;

use attachment::{AttachmentArgs, AttachmentRelay};

/// The agent of a node's cluster bridge: makes it, its tunnels and its ports through OVSDB, as its
/// controller says by gRPC (l2sces.switch.v1)
#[derive(Parser)]
#[command(name = "sps-agent", version)]
struct Config {
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    attachment: AttachmentArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Config { agent: args, attachment } = Config::parse();
    let _telemetry = l2sces_telemetry::init("sps-agent", &args.telemetry)?;
    let server = args.server.clone();
    let dialer = Dialer::new(&server.tls)?;
    let agent = l2sces_switch_agent::start(AgentKind::Sps, args)?;
    let Some(relay) = AttachmentRelay::new(attachment, &dialer, agent.clone())? else {
        return l2sces_switch_agent::serve(agent, &server, shutdown_signal()).await;
    };
    let ending = CancellationToken::new();
    let ended = ending.clone();
    let switch = async {
        let served = l2sces_switch_agent::serve(agent, &server, shutdown_signal()).await;
        // The plugin is served as long as the bridge is.
        ending.cancel();
        served
    };
    let local = async { relay.serve(ended.cancelled_owned()).await.context("--attachment-socket") };
    tokio::try_join!(switch, local)?;
    Ok(())
}
