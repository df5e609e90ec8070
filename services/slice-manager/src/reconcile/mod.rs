//! Carries out what is desired.
//!
//! One replica at a time does so (see [`Leadership`]); the others serve the API and stand by. For
//! each resource there is one function: it reads what is wanted and what is known to be, has the
//! services downstream make up the difference, and writes the condition. It runs when somebody
//! says that something changed, never by the clock but for a safety net.

mod cluster;
mod finding;
mod network;
mod parts;
mod port;
mod slice;

use std::{sync::Arc, time::Duration};

use l2sces_grpc::{Channel, Dialer};
use l2sces_reconcile::{Outcome, Queue};
use thiserror::Error;
use tokio::time::sleep;

use crate::{
    domain::{Condition, Finding, Key, Kind, Meta, Resource, Status, Stored},
    downstream::Remotes,
    signals::{Aspect, Signals},
    store::{Leadership, Store, StoreError},
};

/// Resources that are worked on at a time. Most of the time they wait for a service.
const WORKERS: usize = 256;

/// How often the safety net looks for what was overlooked.
const SAFETY_NET: Duration = Duration::from_secs(60);

/// Rounds of the safety net between prunings: an hour.
const PRUNE_EVERY: u32 = 60;

/// Pause of a replica that could not lead.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a resource has to be looked at again after a pause.
#[derive(Debug, Error)]
pub enum Failure {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A service refused; the condition says so too.
    #[error("{0}")]
    Refused(String),
    /// What is stored contradicts itself.
    #[error("{0} is missing")]
    Missing(Key),
}

/// How to reach what carries out.
#[derive(Clone, Debug)]
pub struct Downstream {
    /// Opens channels.
    pub dialer: Dialer,
    /// Leads to the sco-provider.
    pub sco_provider: Channel,
}

/// Leads whenever no other replica does, for ever.
pub async fn lead(store: &Store, signals: &Signals, downstream: &Downstream) {
    loop {
        match Leadership::win(store).await {
            Ok(leadership) => {
                Box::pin(serve_term(leadership, store, signals, downstream)).await;
            }
            Err(error) => tracing::warn!(%error, "cannot ask for the lead"),
        }
        sleep(PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
    }
}

async fn serve_term(
    mut leadership: Leadership,
    store: &Store,
    signals: &Signals,
    downstream: &Downstream,
) {
    tracing::info!("this replica carries out what is desired");
    let Downstream { dialer, sco_provider } = downstream.clone();
    let remotes = Remotes::new(dialer, sco_provider, signals.clone(), store.clone());
    let worker = Arc::new(Worker { store: store.clone(), signals: signals.clone(), remotes });
    let queue = Queue::new();
    signals.set_queue(Some(queue.clone()));
    let work = l2sces_reconcile::run(queue, WORKERS, |key| {
        let worker = Arc::clone(&worker);
        async move { worker.reconcile(key).await }
    });
    let error = tokio::select! {
        error = leadership.lost() => Some(error),
        () = work => None,
        () = worker.look_after() => None,
    };
    signals.set_queue(None);
    if let Some(error) = error {
        tracing::warn!(%error, "lost the lead");
    }
}

/// What a worker works with.
#[derive(Debug)]
struct Worker {
    store: Store,
    signals: Signals,
    remotes: Remotes,
}

impl Worker {
    async fn reconcile(&self, key: Key) -> Result<Outcome, Failure> {
        match &key {
            Key::Cluster(name) => Box::pin(self.cluster(&key, name)).await?,
            Key::Slice(name) => Box::pin(self.slice(&key, name)).await?,
            Key::Network { slice, name } => Box::pin(self.network(&key, slice, name)).await?,
            Key::Port { slice, network, name } => {
                Box::pin(self.port(&key, slice, network, name)).await?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Wakes what may have something left to do: at first, and then as a safety net. Every cluster
    /// is woken at first, which makes this replica follow its controller; all that lies in it is
    /// woken when that has told what it has.
    async fn look_after(&self) {
        let mut round: u32 = 0;
        loop {
            if let Err(error) = self.look_once(round).await {
                tracing::warn!(%error, "cannot look for what is left to do");
                sleep(PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
                continue;
            }
            round = round.wrapping_add(1);
            sleep(SAFETY_NET.mul_f64(rand::random_range(0.9..1.1))).await;
        }
    }

    async fn look_once(&self, round: u32) -> Result<(), StoreError> {
        if round == 0 {
            self.signals.wake(self.store.keys(&[Kind::Cluster]).await?);
        }
        self.signals.wake(self.store.unsettled().await?);
        if round.is_multiple_of(PRUNE_EVERY) {
            self.store.prune().await?;
        }
        Ok(())
    }

    /// Writes what was found, if it is news. Nothing found: a service has just been lost, and what
    /// was known before is still the best guess.
    async fn report<R: Resource>(
        &self,
        stored: &Stored<R>,
        finding: Option<Finding>,
        detail: R::Detail,
    ) -> Result<(), Failure> {
        let Some(finding) = finding else { return Ok(()) };
        let before = &stored.status.ready;
        let generation = stored.meta.generation;
        let ready: Condition = before.followed_by(finding, generation, chrono::Utc::now());
        let status = Status { ready, detail };
        if status == stored.status {
            return Ok(());
        }
        let reported = Stored::<R> { meta: stored.meta.clone(), spec: stored.spec.clone(), status };
        self.store.write_status(&reported).await?;
        self.signals.changed(&stored.meta.key, Aspect::Status);
        Ok(())
    }

    /// Removes a resource of which nothing is left, and tells whoever waits for that.
    async fn remove(&self, meta: &Meta, waiting: Option<Key>) -> Result<(), Failure> {
        self.store.remove(meta).await?;
        self.signals.changed(&meta.key, Aspect::Status);
        self.signals.wake(waiting);
        tracing::info!(resource = %meta.key, "is gone");
        Ok(())
    }
}
