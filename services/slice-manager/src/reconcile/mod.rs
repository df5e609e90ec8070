//! Carries out what is desired.
//!
//! One replica at a time does so (see [`Leadership`]); the others serve the API and stand by. For
//! each resource there is one function: it reads what is wanted and what is known to be, has the
//! services downstream make up the difference, and writes the condition. It runs when somebody
//! says that something changed, never by the clock: whoever may have missed what was said looks at
//! everything once. Replicas do when they begin to lead and when the database's notifications were
//! interrupted, those who follow a service when they have lost sight of it.

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

use self::finding::Part;
use crate::{
    domain::{
        Cluster, Condition, Driver, Finding, Key, Kind, Meta, Resource, Status, Stored, Truth,
    },
    downstream::Remotes,
    signals::{Aspect, Changed, Signals},
    store::{Leadership, Store, StoreError},
    vault::Vault,
};

/// Resources that are worked on at a time. Most of the time they wait for a service.
const WORKERS: usize = 256;

/// Shortest time between two prunings.
const PRUNE_PAUSE: Duration = Duration::from_secs(3_600);

/// How long a new resource may be on its way before it is written down what it waits for: most are
/// ready much sooner, and each step written down would only hold up the next.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

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
    /// Opens the credentials of Kubernetes clusters.
    pub vault: Arc<Vault>,
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
    let Downstream { dialer, sco_provider, vault } = downstream.clone();
    let remotes = Remotes::new(dialer, vault.clone(), sco_provider, signals.clone(), store.clone());
    let (store, signals) = (store.clone(), signals.clone());
    let worker = Arc::new(Worker { store, signals: signals.clone(), remotes, vault });
    let queue = Queue::new("objects");
    signals.set_queue(Some(queue.clone()));
    let work = l2sces_reconcile::run(queue, WORKERS, |key| {
        let worker = Arc::clone(&worker);
        async move { worker.reconcile(key).await }
    });
    let error = tokio::select! {
        error = leadership.lost(signals.interrupted()) => Some(error),
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
    vault: Arc<Vault>,
}

impl Worker {
    async fn reconcile(&self, key: Key) -> Result<Outcome, Failure> {
        match &key {
            Key::Cluster(name) => Box::pin(self.cluster(&key, name)).await?,
            Key::Slice(name) => Box::pin(self.slice(&key, name)).await?,
            Key::Network { slice, name } => {
                return Box::pin(self.network(&key, slice, name)).await;
            }
            Key::Port { slice, network, name } => {
                return Box::pin(self.port(&key, slice, network, name)).await;
            }
        }
        Ok(Outcome::Done)
    }

    /// Wakes what may have something left to do, and then forgets now and then what nobody needs
    /// any more. For ever.
    async fn look_after(&self) {
        while let Err(error) = self.wake_all().await {
            tracing::warn!(%error, "cannot look for what is left to do");
            sleep(PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
        }
        while let Err(error) = self.reseal().await {
            tracing::warn!(%error, "cannot seal credentials by the latest key");
            sleep(PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
        }
        let mut changes = Kind::ALL.map(|kind| self.signals.subscribe(kind));
        loop {
            if let Err(error) = self.store.prune().await {
                tracing::warn!(%error, "cannot forget what nobody needs any more");
            }
            sleep(PRUNE_PAUSE).await;
            // As long as nothing changes, there is no more of it; what was too new to be forgotten
            // stays until something does.
            let changed = changes.iter_mut().map(|changes| Box::pin(changes.changed()));
            let _ = futures::future::select_all(changed).await;
        }
    }

    /// Every cluster is woken, which makes this replica follow its controller; all that lies in it
    /// is woken when that has told what it has.
    async fn wake_all(&self) -> Result<(), StoreError> {
        self.signals.wake(self.store.keys(&[Kind::Cluster]).await?);
        self.signals.wake(self.store.unsettled().await?);
        Ok(())
    }

    /// Seals by the latest key what another has sealed, so that the other can be taken away.
    async fn reseal(&self) -> Result<(), StoreError> {
        for key in self.store.keys(&[Kind::Cluster]).await? {
            let Some(cluster) = self.store.get::<Cluster>(&key).await? else { continue };
            let Driver::Kubernetes(driver) = &cluster.spec.driver else { continue };
            if self.vault.is_current(&driver.credentials) {
                continue;
            }
            let opened = self.vault.open(key.name(), &driver.credentials);
            match opened.and_then(|opened| self.vault.seal(key.name(), &opened)) {
                Ok(sealed) => {
                    self.store.reseal(cluster.meta.uid, &driver.credentials, &sealed).await?;
                    tracing::info!(cluster = %key.name(), "sealed credentials by the latest key");
                }
                Err(error) => {
                    tracing::error!(cluster = %key.name(), %error, "cannot open credentials");
                }
            }
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
        let revision = self.store.write_status(&reported).await?;
        self.signals.changed(&Changed { key: reported.meta.key, revision }, Aspect::Status);
        Ok(())
    }

    /// Writes what was found of the parts of a resource, but not while it is new and on its way.
    async fn report_unless_on_its_way<R: Resource>(
        &self,
        stored: &Stored<R>,
        parts: &[Part],
        detail: R::Detail,
    ) -> Result<Outcome, Failure> {
        let finding = finding::of_parts(parts);
        let refusal = finding::refusal(parts);
        // The database's clock may be ahead of ours: then it is not known.
        let age = (chrono::Utc::now() - stored.meta.create_time).to_std().ok();
        if refusal.is_none()
            && let Some(pause) = on_its_way(age, &stored.status.ready, finding.as_ref())
        {
            return Ok(Outcome::After(pause));
        }
        self.report(stored, finding, detail).await?;
        refusal.map_or(Ok(Outcome::Done), |refusal| Err(Failure::Refused(refusal)))
    }

    /// Removes a resource of which nothing is left, and tells whoever waits for that.
    async fn remove(&self, meta: &Meta, waiting: Option<Key>) -> Result<(), Failure> {
        self.store.remove(meta).await?;
        self.signals.changed(&meta.key.clone().into(), Aspect::Status);
        self.signals.wake(waiting);
        tracing::info!(resource = %meta.key, "is gone");
        Ok(())
    }
}

/// How much longer a resource of this age, if that is known, may be on its way; nothing: it is not
/// new, or there is something to tell of it.
fn on_its_way(
    age: Option<Duration>,
    before: &Condition,
    finding: Option<&Finding>,
) -> Option<Duration> {
    let waits = finding.is_some_and(|finding| finding.status == Truth::False);
    let was_ready = before.status == Truth::True;
    ON_ITS_WAY.checked_sub(age?).filter(|_| waits && !was_ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_resource_may_be_on_its_way_for_a_moment() {
        let pending = Condition::pending(chrono::Utc::now());
        let found = |finding| pending.followed_by(finding, 1, chrono::Utc::now());
        let waits = Finding::not_ready("Waiting", "for its network");
        let age = |milliseconds| Some(Duration::from_millis(milliseconds));
        let left =
            |age, before: &Condition, finding: Finding| on_its_way(age, before, Some(&finding));
        assert_eq!(left(age(100), &pending, waits.clone()), age(400));
        assert_eq!(left(age(100), &found(waits.clone()), waits.clone()), age(400));
        assert_eq!(left(age(501), &pending, waits.clone()), None, "it is not new any more");
        assert_eq!(left(None, &pending, waits.clone()), None, "nobody knows whether it is new");
        assert_eq!(left(age(100), &found(Finding::ready()), waits), None, "it was ready");
        assert_eq!(left(age(100), &pending, Finding::ready()), None);
        let away = Finding::unknown("ControllerUnreachable", "it does not answer");
        assert_eq!(left(age(100), &pending, away), None);
        assert_eq!(on_its_way(age(100), &pending, None), None);
    }
}
