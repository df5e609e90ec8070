//! Who is told that something changed: watches, and the workers that carry out what is desired.
//!
//! A replica tells itself as soon as it has committed a change; the others learn of it from the
//! database's notification, and so does the replica itself should it not learn how a commit ended.
//! Whichever comes first counts. Being told twice, or of nothing, costs one look at the database.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use l2sces_postgres::Notification;
use l2sces_reconcile::Queue;
use l2sces_trace::TraceContext;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::sleep,
};

use crate::{
    domain::{Key, Kind, Meta},
    store::Store,
};

/// Pause after a look at the database that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How many revisions are remembered, so that they are not told again.
const REMEMBERED: usize = 4_096;

/// Passes on what changed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Signals {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clusters: watch::Sender<()>,
    slices: watch::Sender<()>,
    networks: watch::Sender<()>,
    ports: watch::Sender<()>,
    /// The queue of the workers, while this replica leads.
    queue: Mutex<Option<Queue<Key>>>,
    told: Mutex<Told>,
    /// Told when the connection that listens was lost: others may be too.
    interrupted: Notify,
}

/// The revisions that were told last.
#[derive(Debug, Default)]
struct Told {
    known: HashSet<i64>,
    /// Oldest first.
    order: VecDeque<i64>,
}

impl Told {
    /// Remembers a revision; whether it is news.
    fn is_news(&mut self, revision: i64) -> bool {
        if !self.known.insert(revision) {
            return false;
        }
        self.order.push_back(revision);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// A change of a resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The resource.
    pub key: Key,
    /// The revision that the change made; `None`: it made none, or that is not known.
    pub revision: Option<i64>,
}

impl From<&Meta> for Changed {
    fn from(meta: &Meta) -> Self {
        Self { key: meta.key.clone(), revision: Some(meta.revision) }
    }
}

impl From<Key> for Changed {
    fn from(key: Key) -> Self {
        Self { key, revision: None }
    }
}

/// What about a resource changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aspect {
    /// What is wanted: there is something to carry out.
    Intent,
    /// What is known.
    Status,
}

impl Default for Signals {
    fn default() -> Self {
        let channel = || watch::channel(()).0;
        let shared = Shared {
            clusters: channel(),
            slices: channel(),
            networks: channel(),
            ports: channel(),
            queue: Mutex::new(None),
            told: Mutex::default(),
            interrupted: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Signals {
    /// Resolves, each time it is awaited, when a resource of the kind has changed since.
    pub fn subscribe(&self, kind: Kind) -> watch::Receiver<()> {
        self.channel(kind).subscribe()
    }

    /// Tells that a resource changed, unless it was told of that revision before.
    pub fn changed(&self, changed: &Changed, aspect: Aspect) {
        if changed.revision.is_some_and(|revision| !self.told().is_news(revision)) {
            return;
        }
        let key = &changed.key;
        self.channel(key.kind()).send_replace(());
        if aspect == Aspect::Intent {
            self.wake([key.clone()]);
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has resources reconciled, if this replica leads.
    pub fn wake(&self, keys: impl IntoIterator<Item = Key>) {
        let queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(queue) = queue {
            for key in keys {
                queue.wake(key);
            }
        }
    }

    /// From now on this queue, or none, is woken.
    pub fn set_queue(&self, queue: Option<Queue<Key>>) {
        *self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner) = queue;
    }

    /// Told when connections to the database may have been lost.
    pub fn interrupted(&self) -> &Notify {
        &self.shared.interrupted
    }

    /// Passes on the database's notifications until there are no more.
    pub async fn relay(&self, store: &Store, mut notifications: mpsc::Receiver<Notification>) {
        while let Some(notification) = notifications.recv().await {
            let Notification::Payload(payload) = notification else {
                // A database that was restored, or took over from another, may have gone back and
                // gives the same revisions out again.
                *self.told() = Told::default();
                self.shared.interrupted.notify_one();
                self.look_at_everything(store).await;
                continue;
            };
            match parse(&payload) {
                Some((changed, aspect)) => {
                    let cause = self.origin(store, &changed, aspect).await;
                    TraceContext::within(cause, || self.changed(&changed, aspect));
                }
                None => tracing::warn!(payload, "a notification that is not ours"),
            }
        }
    }

    /// The span in which somebody, probably by another replica, has asked for what this one is to
    /// carry out.
    async fn origin(
        &self,
        store: &Store,
        changed: &Changed,
        aspect: Aspect,
    ) -> Option<TraceContext> {
        let leads = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let was_told =
            changed.revision.is_some_and(|revision| self.told().known.contains(&revision));
        if aspect != Aspect::Intent || !leads || was_told {
            return None;
        }
        // Without it, it is carried out in a trace of its own.
        store.origin(&changed.key).await.ok().flatten()
    }

    async fn look_at_everything(&self, store: &Store) {
        for kind in Kind::ALL {
            self.channel(kind).send_replace(());
        }
        // Nobody else looks. Notifications wait meanwhile; if they are too many, there is another
        // look.
        loop {
            match store.unsettled().await {
                Ok(keys) => return self.wake(keys),
                Err(error) => tracing::warn!(%error, "cannot look for changes that were missed"),
            }
            sleep(PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    fn channel(&self, kind: Kind) -> &watch::Sender<()> {
        match kind {
            Kind::Cluster => &self.shared.clusters,
            Kind::Slice => &self.shared.slices,
            Kind::Network => &self.shared.networks,
            Kind::Port => &self.shared.ports,
        }
    }
}

/// A payload of `notify_change()`: aspect, kind, slice, network, name, and revision or 0, with `/`
/// between them.
fn parse(payload: &str) -> Option<(Changed, Aspect)> {
    let mut parts = payload.split('/');
    let aspect = match parts.next()? {
        "intent" => Aspect::Intent,
        "status" => Aspect::Status,
        _ => return None,
    };
    let (kind, slice) = (parts.next()?, parts.next()?);
    let (network, name) = (parts.next()?, parts.next()?);
    let key = Key::from_parts(kind, slice, network, name).ok()?;
    let revision = Some(parts.next()?.parse().ok()?).filter(|revision| *revision != 0);
    parts.next().is_none().then_some((Changed { key, revision }, aspect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_trigger_writes() {
        let key = Key::from_parts("port", "s", "n", "p").unwrap();
        let changed = Changed { key, revision: Some(7) };
        assert_eq!(parse("status/port/s/n/p/7"), Some((changed, Aspect::Status)));
        let key = Key::from_parts("slice", "", "", "s").unwrap();
        assert_eq!(parse("intent/slice///s/0"), Some((key.into(), Aspect::Intent)));
        for payload in [
            "",
            "intent",
            "intent/slice/s/1",
            "intent/slice///s",
            "intent/slice///s/x",
            "intent/slice///s/1/1",
            "other/slice///s/1",
        ] {
            assert_eq!(parse(payload), None, "{payload}");
        }
    }

    #[test]
    fn a_revision_is_told_once_by_whoever_comes_first() {
        let signals = Signals::default();
        let mut ports = signals.subscribe(Kind::Port);
        let mut tells = |revision| {
            let key = Key::from_parts("port", "s", "n", "p").unwrap();
            signals.changed(&Changed { key, revision }, Aspect::Status);
            let tells = ports.has_changed().unwrap();
            ports.mark_unchanged();
            tells
        };
        assert!(tells(Some(1)));
        assert!(!tells(Some(1)));
        assert!(tells(None) && tells(None), "nobody knows what it is");
        for revision in 2..=i64::try_from(REMEMBERED).unwrap() + 1 {
            assert!(tells(Some(revision)));
        }
        assert!(!tells(Some(2)));
        assert!(tells(Some(1)), "it is forgotten");
    }

    #[tokio::test]
    async fn a_revision_may_be_given_out_again_after_an_interruption() {
        let signals = Signals::default();
        let key = Key::from_parts("port", "s", "n", "p").unwrap();
        let changed = Changed { key, revision: Some(7) };
        signals.changed(&changed, Aspect::Status);
        let mut ports = signals.subscribe(Kind::Port);
        // It does not matter that nobody answers there.
        let pool = sqlx::PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap();
        let store = Store::new(pool);
        let (notify, notifications) = mpsc::channel(1);
        notify.send(Notification::Resync).await.unwrap();
        tokio::select! {
            () = signals.relay(&store, notifications) => panic!("it goes on"),
            looked = ports.changed() => looked.unwrap(),
        }
        signals.changed(&changed, Aspect::Status);
        assert!(ports.has_changed().unwrap());
    }
}
