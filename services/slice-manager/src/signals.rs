//! Who is told that something changed: watches, and the workers that carry out what is desired.
//!
//! A replica tells itself as soon as it has committed a change; the others learn of it from the
//! database's notification. Being told twice, or of nothing, costs one look at the database.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use l2sces_postgres::Notification;
use l2sces_reconcile::Queue;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::sleep,
};

use crate::{
    domain::{Key, Kind},
    store::Store,
};

/// Pause after a look at the database that failed.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// Told when the connection that listens was lost: others may be too.
    interrupted: Notify,
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

    /// Tells that a resource changed.
    pub fn changed(&self, key: &Key, aspect: Aspect) {
        self.channel(key.kind()).send_replace(());
        if aspect == Aspect::Intent {
            self.wake([key.clone()]);
        }
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
                self.shared.interrupted.notify_one();
                self.look_at_everything(store).await;
                continue;
            };
            match parse(&payload) {
                Some((key, aspect)) => self.changed(&key, aspect),
                None => tracing::warn!(payload, "a notification that is not ours"),
            }
        }
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

/// A payload of `notify_change()`: aspect, kind, slice, network and name, with `/` between them.
fn parse(payload: &str) -> Option<(Key, Aspect)> {
    let mut parts = payload.split('/');
    let aspect = match parts.next()? {
        "intent" => Aspect::Intent,
        "status" => Aspect::Status,
        _ => return None,
    };
    let (kind, slice) = (parts.next()?, parts.next()?);
    let (network, name) = (parts.next()?, parts.next()?);
    let key = Key::from_parts(kind, slice, network, name).ok()?;
    parts.next().is_none().then_some((key, aspect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_trigger_writes() {
        let key = Key::from_parts("port", "s", "n", "p").unwrap();
        assert_eq!(parse("status/port/s/n/p"), Some((key, Aspect::Status)));
        let key = Key::from_parts("slice", "", "", "s").unwrap();
        assert_eq!(parse("intent/slice///s"), Some((key, Aspect::Intent)));
        for payload in ["", "intent", "intent/slice/s", "intent/slice///s/x", "other/slice///s"] {
            assert_eq!(parse(payload), None, "{payload}");
        }
    }
}
