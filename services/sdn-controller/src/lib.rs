//! The SDN controller of one cluster.
//!
//! ```text
//!   FabricService --> store (Postgres) --wakes--> reconcile --> sps-agents (ports, tunnels)
//!        ^                                           |  |
//!        | Watch                                     |  +----> engine (flows) <-- watch: the
//!        |                                           |           |                sco-provider
//!      board <------- facts of reconcile and engine--+           v events
//!        ^-------------------------------------------------------+
//! ```

mod agent;
mod attach;
mod board;
mod config;
mod domain;
mod events;
#[cfg(test)]
mod examples;
mod exchange;
mod fabric;
mod grpc;
mod measurements;
mod reconcile;
mod store;
mod trunks;
mod watch;

use std::sync::Arc;

use anyhow::Context;
use l2sces_controller::{AgeingTime, Engine, EngineConfig};
use l2sces_grpc::{Access, Dialer, shutdown_signal};
use l2sces_pki::Role;
use l2sces_proto::fabric::v1::fabric_service_server::FabricServiceServer;
use l2sces_reconcile::Queue;
use tonic::service::Routes;

use crate::{
    agent::{Agents, GrpcAgents},
    board::Board,
    exchange::{Exchange, GrpcExchange},
    fabric::Fabric,
    grpc::FabricApi,
    measurements::LinkMeasurements,
    reconcile::{Reconciler, Tunnels},
    store::{MIGRATOR, Store},
    trunks::{Trunks, WatchedTrunks},
    watch::{AgentWatches, ExchangeWatch, Uplink},
};

pub use config::Config;

/// How many objects are reconciled at once. They mostly wait, for agents and switches.
const WORKERS: usize = 64;

/// Runs the controller until the process is asked to end. Switches keep what they have then.
///
/// # Errors
/// The configuration is wrong, or an address cannot be listened on.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let target = config.openflow_target()?;
    let credentials = config.server.tls.credentials()?;
    let dialer = Dialer::new(&config.server.tls)?;
    let sco_provider = dialer.channel(&config.sco_provider).context("--sco-provider")?;
    let mut engine_config = EngineConfig::new(config.openflow_listen, credentials)?;
    engine_config.ageing_time = AgeingTime(config.ageing_time);
    let pool = l2sces_postgres::connect(&config.postgres, &MIGRATOR).await?;
    let (engine, engine_events) = Engine::start(engine_config).await?;

    let cluster = config.cluster;
    let store = Store::new(pool, cluster.clone());
    let agents: Arc<dyn Agents> = Arc::new(GrpcAgents::new(dialer));
    let exchange: Arc<dyn Exchange> = Arc::new(GrpcExchange::new(sco_provider, cluster.clone()));
    let board = Arc::new(Board::new());
    let queue = Queue::new("objects");
    let trunks = Arc::new(Trunks::default());
    let fabric: Arc<dyn Fabric> = Arc::new(WatchedTrunks {
        fabric: Arc::new(engine),
        trunks: Arc::clone(&trunks),
        board: Arc::clone(&board),
        queue: queue.clone(),
    });
    let uplink = Arc::new(Uplink::default());
    let measurements = Arc::new(LinkMeasurements::new(cluster.clone(), Arc::clone(&agents)));

    let reconciler = Arc::new(Reconciler {
        cluster: cluster.clone(),
        controllers: vec![target],
        bfd_interval_ms: config.bfd_interval,
        store: store.clone(),
        fabric: Arc::clone(&fabric),
        agents: Arc::clone(&agents),
        exchange: Arc::clone(&exchange),
        board: Arc::clone(&board),
        queue: queue.clone(),
        watches: AgentWatches::new(Arc::clone(&agents), Arc::clone(&board), queue.clone()),
        uplink: Arc::clone(&uplink),
        trunks: Arc::clone(&trunks),
        tunnels: Tunnels::default(),
        measurements: Arc::clone(&measurements),
    });
    let seeing = tokio::spawn(events::take_in(
        engine_events,
        Arc::clone(&board),
        Arc::clone(&trunks),
        queue.clone(),
    ));
    // Before anybody can change it.
    reconciler.load().await?;

    let watch = ExchangeWatch {
        cluster: cluster.clone(),
        exchange: Arc::clone(&exchange),
        fabric: Arc::clone(&fabric),
        board: Arc::clone(&board),
        queue: queue.clone(),
        uplink,
        store: store.clone(),
        trunks,
    };
    let watching = tokio::spawn(watch.run());
    let working = tokio::spawn(work(queue.clone(), Arc::clone(&reconciler)));
    let api = FabricApi { cluster, store, agents, exchange, fabric, board, queue, measurements };
    let routes = Routes::new(FabricServiceServer::new(api));
    let access = Access::new().allow::<FabricServiceServer<FabricApi>>(&[
        Role::SliceManager,
        Role::Operator,
        Role::Admin,
    ]);
    tokio::select! {
        served = l2sces_grpc::serve(&config.server, routes, access, shutdown_signal()) => {
            served.context("serving the API")
        }
        // None of these ends by itself.
        ended = seeing => Err(anyhow::anyhow!("the engine's events ended: {ended:?}")),
        ended = watching => Err(anyhow::anyhow!("the watch of the sco-provider ended: {ended:?}")),
        ended = working => Err(anyhow::anyhow!("the workers ended: {ended:?}")),
    }
}

/// Reconciles what is woken.
async fn work(queue: Queue<domain::Key>, reconciler: Arc<Reconciler>) {
    let reconcile = |key| {
        let reconciler = Arc::clone(&reconciler);
        async move { reconciler.reconcile(key).await }
    };
    l2sces_reconcile::run(queue, WORKERS, reconcile).await;
}
