//! The inter-cluster SDN controller.
//!
//! ```text
//!  ScoService, ExchangeService --> store (what is wanted) --wakes--> workers --> switches (engine)
//!         ^                                                            |  |----> ned-agents
//!         |                                                            |  |----> DNS
//!         +---- boards: states of objects, what clusters are told <----+
//! ```
//!
//! A call stores what is wanted and wakes a worker; workers bring it about. Watchers are shown the
//! boards, which are rebuilt from the store after a restart, before anybody is served.

pub mod board;
mod clients;
mod config;
pub mod confirmations;
pub mod domain;
pub mod downstream;
pub mod exchange;
pub mod grpc;
pub mod health;
pub mod measurements;
pub mod reconcile;
pub mod status;
pub mod store;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use l2sces_controller::{Engine, EngineConfig};
use l2sces_grpc::{Access, Dialer, serve, shutdown_signal};
use l2sces_pki::{Authority, Credentials, Identity, Role};
use l2sces_proto::{
    issuer::v1::authority_service_server::AuthorityServiceServer,
    sco::v1::{
        exchange_service_server::ExchangeServiceServer, sco_service_server::ScoServiceServer,
    },
};
use l2sces_trace::{Caused, TraceContext};
use tokio::sync::mpsc;
use tonic::service::Routes;

use clients::{GrpcAgents, GrpcNames};
pub use config::Config;
use confirmations::Confirmations;
use grpc::{AuthorityApi, ExchangeApi, ScoApi};
use health::Health;
use reconcile::{Pace, Parts, Queues, Reconciler};
use status::StatusBoard;
use store::{MIGRATIONS, Store};

/// Runs the service until the process is told to end.
///
/// # Errors
/// Something that it cannot do without is missing: the database, a certificate, an address.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let credentials = config.server.tls.credentials()?;
    let authority = match &config.authority {
        Some(directory) => Some(authority(directory, credentials.as_ref()).context("--authority")?),
        None => None,
    };
    let dialer = Dialer::new(&config.server.tls)?;
    let dns = dialer.channel(&config.dns).context("--dns")?;
    let pool = l2sces_postgres::connect(&config.postgres, &MIGRATIONS).await?;
    let store = Store::new(pool, Store::all_vnis(), config.underlay_mtu);

    // Nothing is learned between clusters, so that the ageing time does not matter.
    let mut engine_config = EngineConfig::new(config.openflow_listen, credentials)?;
    engine_config.discovery_key = store.discovery_key().await?;
    let (engine, events) = Engine::start(engine_config).await?;
    let queues = Queues::default();
    let exchange = Arc::new(exchange::board());
    let status = Arc::new(StatusBoard::default());
    let confirmations = Arc::new(Confirmations::default());
    let health = Arc::new(Health::new(Duration::from_secs(config.gateway_grace.into())));
    let reconciler = Reconciler::new(Parts {
        store: store.clone(),
        queues: queues.clone(),
        fabric: engine.clone(),
        agents: GrpcAgents::new(dialer),
        names: GrpcNames::new(dns),
        exchange: exchange.clone(),
        status: status.clone(),
        health: health.clone(),
        confirmations: confirmations.clone(),
        pace: Pace::default(),
        controllers: vec![config.openflow_advertise],
        bfd_interval_ms: config.bfd_interval,
    })?;

    let routes = Routes::new(ScoServiceServer::new(ScoApi::new(
        store.clone(),
        queues.clone(),
        status.clone(),
        engine,
        reconciler.measurements(),
    )))
    .add_service(ExchangeServiceServer::new(ExchangeApi::new(
        store,
        queues,
        exchange,
        confirmations,
    )))
    .add_service(AuthorityServiceServer::new(AuthorityApi::new(authority)));
    let access = Access::new()
        .allow::<ScoServiceServer<()>>(&[Role::SliceManager, Role::Operator, Role::Admin])
        .allow::<ExchangeServiceServer<()>>(&[Role::SdnController, Role::Admin])
        .allow::<AuthorityServiceServer<()>>(&[Role::Operator]);

    let observing = observe(events, &status, &health);
    let working = async {
        reconciler.restore().await.context("cannot read what is wanted")?;
        let serving = serve(&config.server, routes, access, shutdown_signal());
        tokio::select! {
            served = serving => Ok::<_, anyhow::Error>(served?),
            () = reconciler.run() => Ok(()),
        }
    };
    tokio::select! {
        result = working => result,
        () = observing => anyhow::bail!("the engine has ended"),
    }
}

/// Reads the authority. What it signs must be accepted here, where the agents of gateways are spoken with:
/// otherwise it is of no use, and better found now than by agents.
fn authority(directory: &Path, credentials: Option<&Credentials>) -> anyhow::Result<Authority> {
    let credentials = credentials.context("needs TLS, by which operators are known")?;
    let authority = Authority::load(directory)?;
    let sample = authority.issue(&Identity::new(Role::NedAgent, "sample")?, &[])?;
    anyhow::ensure!(
        credentials.accepts(&sample.cert_pem),
        "{} holds another authority than --tls-ca, or not the key of its certificate",
        directory.display()
    );
    Ok(authority)
}

/// Takes note of what the engine says, until it ends.
async fn observe(
    mut events: mpsc::Receiver<Caused<l2sces_controller::Event>>,
    status: &StatusBoard,
    health: &Health,
) {
    while let Some(Caused { what: event, cause }) = events.recv().await {
        tracing::debug!(?event, "switches");
        TraceContext::within(cause, || {
            health.observe(&event);
            status.observe(event);
        });
    }
}
