use std::{sync::Arc, time::Duration};

use l2sces_controller::Event;
use sco_provider::{
    confirmations::Confirmations,
    domain::{Endpoint, Gateway, Key, Network, ObjectKey, Slice},
    exchange::{self, ExchangeBoard},
    health::Health,
    measurements::LinkMeasurements,
    reconcile::{Pace, Parts, Queues, Reconciler},
    status::StatusBoard,
    store::Store,
};
use tokio::task::JoinHandle;

use super::{Database, FakeAgents, FakeFabric, FakeNames, Fuse, gateway, network, slice};

/// What is outside of the process: it survives a crash.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) agents: FakeAgents,
    pub(crate) names: FakeNames,
    pub(crate) fuse: Arc<Fuse>,
}

/// The process, killed when dropped.
pub(crate) struct Process {
    pub(crate) store: Store,
    pub(crate) queues: Queues,
    pub(crate) fabric: FakeFabric,
    pub(crate) exchange: Arc<ExchangeBoard>,
    pub(crate) status: Arc<StatusBoard>,
    pub(crate) health: Arc<Health>,
    pub(crate) confirmations: Arc<Confirmations>,
    pub(crate) measurements: Arc<LinkMeasurements>,
    working: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let fuse = Arc::new(Fuse::default());
        Self {
            database: Database::new().await,
            agents: FakeAgents { fuse: fuse.clone(), ..FakeAgents::default() },
            names: FakeNames { fuse: fuse.clone(), ..FakeNames::default() },
            fuse,
        }
    }

    /// Starts the process. It restores and works on its own.
    pub(crate) async fn start(&self) -> Process {
        self.start_with_grace(Duration::from_secs(30)).await
    }

    /// The same; gateways that are away for longer than `grace` have failed.
    pub(crate) async fn start_with_grace(&self, grace: Duration) -> Process {
        // Nobody confirms anything, unless a test does.
        let pace = Pace {
            patience: Duration::from_millis(50),
            suspense: grace + Duration::from_secs(1),
            linger: Duration::from_millis(5),
        };
        self.start_with(grace, pace).await
    }

    pub(crate) async fn start_with(&self, grace: Duration, pace: Pace) -> Process {
        let store = self.database.store().await;
        let queues = Queues::default();
        let exchange = Arc::new(exchange::board());
        let status = Arc::new(StatusBoard::default());
        let fabric = FakeFabric { fuse: self.fuse.clone(), ..FakeFabric::default() };
        let health = Arc::new(Health::new(grace));
        let confirmations = Arc::new(Confirmations::default());
        let reconciler = Reconciler::new(Parts {
            store: store.clone(),
            queues: queues.clone(),
            fabric: fabric.clone(),
            agents: self.agents.clone(),
            names: self.names.clone(),
            exchange: exchange.clone(),
            status: status.clone(),
            health: health.clone(),
            controllers: vec!["ssl:192.0.2.1:6654".to_owned()],
            bfd_interval_ms: 200,
            confirmations: confirmations.clone(),
            pace,
        })
        .unwrap();
        let measurements = reconciler.measurements();
        let working = tokio::spawn(async move {
            reconciler.restore().await.unwrap();
            reconciler.run().await;
        });
        Process {
            store,
            queues,
            fabric,
            exchange,
            status,
            health,
            confirmations,
            measurements,
            working,
        }
    }

    /// Starts the process with clusters a and b, a slice `s` of both, and a network `s/n`.
    pub(crate) async fn start_with_network(&self) -> Process {
        let process = self.start().await;
        process.apply_gateway(&gateway("a/a1", "192.0.2.11")).await;
        process.apply_gateway(&gateway("b/b1", "192.0.2.21")).await;
        process.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await;
        process.apply_network(&network("s/n", &["a", "b"], "10.1.0.0/24")).await;
        process
    }
}

impl Process {
    /// The engine says something.
    pub(crate) fn observe(&self, event: Event) {
        self.health.observe(&event);
        self.status.observe(event);
    }

    pub(crate) async fn apply_gateway(&self, gateway: &Gateway) {
        self.store.apply_gateway(gateway).await.unwrap();
        self.queues.wake(Key::Gateway(gateway.key.clone()));
    }

    pub(crate) async fn apply_slice(&self, slice: &Slice) {
        self.store.apply_slice(slice).await.unwrap();
        self.queues.wake(Key::Slice(slice.name.clone()));
    }

    pub(crate) async fn apply_network(&self, network: &Network) {
        self.store.apply_network(network).await.unwrap();
        self.queues.wake(Key::Network(network.key.clone()));
    }

    /// Leases the address, then announces the endpoint, as a cluster does.
    pub(crate) async fn apply_endpoint(&self, endpoint: &Endpoint) {
        if endpoint.address.is_some() {
            let request = sco_provider::store::LeaseRequest {
                network: endpoint.key.network.clone(),
                cluster: endpoint.key.cluster.clone(),
                known_blocks: Vec::new(),
                address: endpoint.address,
            };
            self.store.lease_block(&request).await.unwrap();
        }
        self.store.apply_endpoint(endpoint).await.unwrap();
        self.queues.wake(Key::Endpoint(endpoint.key.clone()));
    }

    pub(crate) async fn delete_endpoint(&self, key: &sco_provider::domain::EndpointKey) {
        self.store.delete_endpoint(key).await.unwrap();
        self.queues.wake(Key::Endpoint(key.clone()));
    }

    /// Why an object is not ready; `None`: it is unknown, `Some("")`: it is ready.
    pub(crate) fn reason(&self, key: &ObjectKey) -> Option<&'static str> {
        let state = self.status.board().get(key)?;
        Some(state.problem.as_ref().map_or("", |problem| problem.reason))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.working.abort();
    }
}
