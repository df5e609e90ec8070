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

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use l2sces_controller::{AgeingTime, Engine, EngineConfig};
use l2sces_grpc::{Access, Dialer, serve, shutdown_signal};
use l2sces_pki::Role;
use l2sces_proto::sco::v1::{
    exchange_service_server::ExchangeServiceServer, sco_service_server::ScoServiceServer,
};
use l2sces_trace::{Caused, TraceContext};
use tokio::sync::mpsc;
use tonic::service::Routes;

use clients::{GrpcAgents, GrpcNames};
pub use config::Config;
use confirmations::Confirmations;
use grpc::{ExchangeApi, ScoApi};
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
    let dialer = Dialer::new(&config.server.tls)?;
    let dns = dialer.channel(&config.dns).context("--dns")?;
    let pool = l2sces_postgres::connect(&config.postgres, &MIGRATIONS).await?;
    let store = Store::new(pool, Store::all_vnis(), config.underlay_mtu);

    let (engine, events) = Engine::start(EngineConfig {
        listen: config.openflow_listen,
        credentials,
        discovery_key: store.discovery_key().await?,
        // Nothing is learned between clusters.
        ageing_time: AgeingTime::default(),
    })
    .await?;
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
    )));
    let access = Access::new()
        .allow::<ScoServiceServer<()>>(&[Role::SliceManager, Role::Operator, Role::Admin])
        .allow::<ExchangeServiceServer<()>>(&[Role::SdnController, Role::Admin]);

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
