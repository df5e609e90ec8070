//! Workers: for each object, what is stored is brought about in the switches, the agents, the DNS,
//! and what the clusters are told. There is one function per kind of object, for making, repairing
//! and removing alike.

mod attendance;
mod endpoint;
mod gateway;
mod health;
mod known;
mod name;
mod network;
mod queues;
mod restore;
mod slice;
mod succession;

use std::sync::Arc;

use l2sces_model::{InterfaceName, NED_TRUNK_INTERFACE, Name};
use l2sces_reconcile::Outcome;
use thiserror::Error;
use tokio::time::Instant;

pub use queues::Queues;
pub use succession::Pace;

use crate::{
    confirmations::Confirmations,
    domain::{EndpointKey, GatewayKey, Key, NetworkKey},
    downstream::{Agents, DownstreamError, Fabric, NameRecord, Names},
    exchange::ExchangeBoard,
    health::Health,
    measurements::LinkMeasurements,
    status::{Problem, StatusBoard},
    store::{Store, StoreError},
};
use attendance::Attendance;
use endpoint::AnnouncedEndpoint;
use gateway::AppliedSwitch;
use known::Known;
use network::KnownNetwork;
use slice::KnownSlice;
use succession::Progress;

/// Why a run failed. It is repeated.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway's agent failed.
    #[error("ned-agent {0}")]
    Agent(#[source] DownstreamError),
    /// The DNS failed.
    #[error("DNS {0}")]
    Names(#[source] DownstreamError),
}

impl ReconcileError {
    fn problem(&self) -> Problem {
        let reason = match self {
            Self::Store(_) => "StoreFailed",
            Self::Agent(_) => "AgentFailed",
            Self::Names(_) => "NamesFailed",
        };
        Problem::new(reason, self.to_string())
    }
}

/// What the workers have in common.
pub struct Reconciler<F, A, N> {
    store: Store,
    queues: Queues,
    fabric: F,
    agents: Arc<A>,
    names: N,
    exchange: Arc<ExchangeBoard>,
    status: Arc<StatusBoard>,
    health: Arc<Health>,
    confirmations: Arc<Confirmations>,
    pace: Pace,
    controllers: Vec<String>,
    bfd_interval_ms: u32,
    trunk: InterfaceName,
    attendance: Attendance,
    measurements: Arc<LinkMeasurements>,
    // What this process has brought about, to tell what has changed. Nothing is lost with it: after
    // a restart everything is brought about again.
    gateways: Known<GatewayKey, AppliedSwitch>,
    slices: Known<Name, Arc<KnownSlice>>,
    networks: Known<NetworkKey, Arc<KnownNetwork>>,
    /// Those that are to be planned anew when it is known what of their slice works, and until when
    /// they wait for that.
    waiting: Known<NetworkKey, Instant>,
    /// Of networks that go over to another plan.
    progress: Known<NetworkKey, Progress>,
    endpoints: Known<EndpointKey, AnnouncedEndpoint>,
    /// Addresses that the engine knows and that were left to another endpoint to announce.
    handed_over: Known<AnnouncedEndpoint, ()>,
    records: Known<EndpointKey, NameRecord>,
}

/// What a [`Reconciler`] works with.
pub struct Parts<F, A, N> {
    /// What is wanted.
    pub store: Store,
    /// What waits to be done.
    pub queues: Queues,
    /// The switches' flows.
    pub fabric: F,
    /// The agents.
    pub agents: A,
    /// The DNS.
    pub names: N,
    /// What the clusters are told.
    pub exchange: Arc<ExchangeBoard>,
    /// How objects fare.
    pub status: Arc<StatusBoard>,
    /// Which gateways and links work.
    pub health: Arc<Health>,
    /// What clusters have confirmed.
    pub confirmations: Arc<Confirmations>,
    /// How long networks that go over to another plan wait.
    pub pace: Pace,
    /// The OpenFlow controllers that bridges are given, in Open vSwitch's notation.
    pub controllers: Vec<String>,
    /// How often the ends of a tunnel say that they are there, in milliseconds; 0: never.
    pub bfd_interval_ms: u32,
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    /// A reconciler that has done nothing yet.
    ///
    /// # Errors
    /// Never with the trunk's name as it is: it is checked here, once.
    pub fn new(parts: Parts<F, A, N>) -> Result<Self, l2sces_model::InterfaceNameError> {
        let agents = Arc::new(parts.agents);
        Ok(Self {
            measurements: Arc::new(LinkMeasurements::new(Arc::clone(&agents))),
            store: parts.store,
            queues: parts.queues,
            fabric: parts.fabric,
            agents,
            names: parts.names,
            exchange: parts.exchange,
            status: parts.status,
            health: parts.health,
            confirmations: parts.confirmations,
            pace: parts.pace,
            controllers: parts.controllers,
            bfd_interval_ms: parts.bfd_interval_ms,
            trunk: NED_TRUNK_INTERFACE.parse()?,
            attendance: Attendance::default(),
            gateways: Known::default(),
            slices: Known::default(),
            networks: Known::default(),
            waiting: Known::default(),
            progress: Known::default(),
            endpoints: Known::default(),
            handed_over: Known::default(),
            records: Known::default(),
        })
    }

    /// What is measured of the links.
    pub fn measurements(&self) -> Arc<LinkMeasurements> {
        Arc::clone(&self.measurements)
    }

    /// Works for ever.
    pub async fn run(&self) {
        tokio::join!(self.queues.run(|key| self.reconcile(key)), self.follow_health());
    }

    /// Brings about what is stored of one object, and says how it went.
    ///
    /// # Errors
    /// Something that it depends on failed.
    pub async fn reconcile(&self, key: Key) -> Result<Outcome, ReconcileError> {
        let object = key.object();
        let result = match &key {
            Key::Gateway(key) => self.reconcile_gateway(key).await,
            Key::Slice(name) => self.reconcile_slice(name).await,
            Key::Network(key) => self.reconcile_network(key).await,
            Key::Endpoint(key) => self.reconcile_endpoint(key).await.map(|()| None),
            Key::Name(key) => self.reconcile_name(key).await.map(|()| None),
        };
        if let Some(object) = object {
            let problem = match &result {
                Ok(problem) => problem.clone(),
                Err(error) => Some(error.problem()),
            };
            self.status.report(&object, problem);
        }
        let pause = match &key {
            Key::Network(key) => self.pause(key),
            _ => None,
        };
        result.map(|_| pause.map_or(Outcome::Done, Outcome::After))
    }
}
