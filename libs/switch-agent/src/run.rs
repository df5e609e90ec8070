use std::sync::Arc;

use anyhow::Context as _;
use l2sces_grpc::{Access, ServerArgs, TlsArgs, shutdown_signal};
use l2sces_model::InterfaceName;
use l2sces_pki::Role;
use l2sces_proto::switch::v1::switch_service_server::SwitchServiceServer;
use tonic::service::Routes;
use tracing::info;

use crate::{
    Agent, AgentArgs, AgentConfig, AgentKind, SwitchApi, TlsFiles, agent, measure::Traffic,
};

/// Runs an agent until SIGTERM or SIGINT. The bridge stays as it is.
///
/// # Errors
/// A flag is wrong, or its address cannot be listened on.
pub async fn run(kind: AgentKind, args: AgentArgs) -> anyhow::Result<()> {
    let server = args.server.clone();
    serve(start(kind, args)?, &server, shutdown_signal()).await
}

/// Starts an agent, with metrics, which serves nothing yet.
///
/// # Errors
/// A flag is wrong.
pub fn start(kind: AgentKind, args: AgentArgs) -> anyhow::Result<Arc<Agent>> {
    let bridge = args.bridge.unwrap_or_else(|| kind.default_bridge().to_owned());
    bridge.parse::<InterfaceName>().context("--bridge")?;
    let agent = Agent::start(AgentConfig {
        kind,
        ovsdb: args.ovsdb,
        bridge: bridge.clone(),
        datapath_type: args.datapath_type,
        tls: tls_files(&args.server.tls).context("TLS files")?,
        parameters: args.network_parameters,
        patience: agent::PATIENCE,
        link_patience: agent::LINK_PATIENCE,
    })?;
    let agent = Arc::new(agent);
    let traffic = Traffic { agent: Arc::clone(&agent), most_ports: args.metrics_ports };
    l2sces_telemetry::collect("switch", traffic);
    info!(%kind, bridge, "starting");
    Ok(agent)
}

/// Serves an agent's bridge to its controller until `shutdown` resolves.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    agent: Arc<Agent>,
    server: &ServerArgs,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let caller = match agent.identity.kind {
        AgentKind::Sps => Role::SdnController,
        AgentKind::Ned => Role::ScoProvider,
    };
    let access = Access::new().allow::<SwitchServiceServer<SwitchApi>>(&[caller, Role::Admin]);
    let routes = Routes::new(SwitchServiceServer::new(SwitchApi::new(agent)));
    l2sces_grpc::serve(server, routes, access, shutdown).await?;
    Ok(())
}

/// The files by which the agent itself is known, if there are all three.
fn tls_files(args: &TlsArgs) -> std::io::Result<Option<TlsFiles>> {
    match (&args.tls_ca, &args.tls_cert, &args.tls_key) {
        (Some(ca), Some(cert), Some(key)) => TlsFiles::new(ca, cert, key).map(Some),
        _ => Ok(None),
    }
}
