//! The records in memory, from which all questions are answered, kept like those in Postgres.
//!
//! One task writes the memory, and only what it reads from Postgres itself, in turn. So whichever
//! way it hears of changes, and however often or late, what it writes is never older than what it
//! wrote before.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use l2sces_postgres::Notification;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    store::{Snapshot, Store, StoreError, parse_payload},
    zone::{Index, RecordKey},
};

/// Most requests that wait for the task; more wait in their callers.
const QUEUE: usize = 256;

/// Most changes that are read from Postgres at once.
const BATCH: usize = 256;

/// How long a caller waits for a change to be in memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pauses after a failed read: doubled from the first to the longest, and cut short at random so
/// that replicas do not come back in step.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A handle on the memory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory {
    index: Arc<RwLock<Index>>,
    requests: mpsc::Sender<Request>,
}

/// A change is in Postgres, but not known to be in memory.
#[derive(Debug, Error)]
#[error("stored, but not yet answered: the database is slow or away")]
pub struct NotYet;

/// Asks for a record to be read again.
#[derive(Debug)]
struct Request {
    key: RecordKey,
    done: oneshot::Sender<()>,
}

/// What to do next: read some records again, or all.
#[derive(Debug, Default)]
struct Work {
    all: bool,
    keys: BTreeSet<RecordKey>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Memory {
    /// Loads all records, and then follows changes until all handles are dropped.
    ///
    /// `notifications` must already listen, or say [`Notification::Resync`] once they do.
    ///
    /// # Errors
    /// The first load fails.
    pub async fn load(
        store: Store,
        notifications: mpsc::Receiver<Notification>,
    ) -> Result<Self, StoreError> {
        let mut index = Index::default();
        put(&mut index, store.read_all().await?);
        tracing::info!(records = index.len(), "loaded");
        let index = Arc::new(RwLock::new(index));
        let (requests, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(follow(store, index.clone(), receiver, notifications));
        Ok(Self { index, requests })
    }

    /// The records, for reading.
    pub fn index(&self) -> Arc<RwLock<Index>> {
        self.index.clone()
    }

    /// Returns when the memory has a record as it is in Postgres now, or as it is later.
    ///
    /// # Errors
    /// That takes longer than 10 s. It is still going to happen.
    pub async fn refresh(&self, key: RecordKey) -> Result<(), NotYet> {
        let (done, finished) = oneshot::channel();
        let refreshed = async {
            self.requests.send(Request { key, done }).await.map_err(|_| NotYet)?;
            finished.await.map_err(|_| NotYet)
        };
        timeout(PATIENCE, refreshed).await.unwrap_or(Err(NotYet))
    }
}

async fn follow(
    store: Store,
    index: Arc<RwLock<Index>>,
    mut requests: mpsc::Receiver<Request>,
    mut notifications: mpsc::Receiver<Notification>,
) {
    loop {
        let mut work = Work::default();
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => work.add_request(request),
                None => return,
            },
            notification = notifications.recv() => match notification {
                Some(notification) => work.add_notification(notification),
                // The notifications end with the process's runtime only.
                None => return,
            },
        }
        while work.keys.len() < BATCH
            && let Ok(request) = requests.try_recv()
        {
            work.add_request(request);
        }
        while work.keys.len() < BATCH
            && let Ok(notification) = notifications.try_recv()
        {
            work.add_notification(notification);
        }
        work.carry_out(&store, &index).await;
    }
}

impl Work {
    fn add_request(&mut self, Request { key, done }: Request) {
        self.keys.insert(key);
        self.waiting.push(done);
    }

    fn add_notification(&mut self, notification: Notification) {
        match notification {
            Notification::Resync => self.all = true,
            Notification::Payload(payload) => self.keys.extend(parse_payload(&payload)),
        }
    }

    /// Reads until it succeeds: whatever was announced must not be forgotten.
    async fn carry_out(self, store: &Store, index: &RwLock<Index>) {
        let keys: Vec<_> = self.keys.into_iter().collect();
        let mut pause = FIRST_PAUSE;
        loop {
            let read = if self.all { store.read_all().await } else { store.read(&keys).await };
            match read {
                Ok(snapshot) => {
                    replace_or_put(index, snapshot, self.all);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read records; answering what is known");
                    sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
        for done in self.waiting {
            // The caller may have given up.
            let _ = done.send(());
        }
    }
}

fn replace_or_put(index: &RwLock<Index>, snapshot: Snapshot, all: bool) {
    if all {
        let mut fresh = Index::default();
        put(&mut fresh, snapshot);
        // Dropped after the lock is.
        let _old =
            std::mem::replace(&mut *index.write().unwrap_or_else(PoisonError::into_inner), fresh);
    } else {
        put(&mut index.write().unwrap_or_else(PoisonError::into_inner), snapshot);
    }
}

fn put(index: &mut Index, snapshot: Snapshot) {
    for (key, contents) in snapshot.records {
        index.set(key, contents);
    }
    // Serials wrap and are compared accordingly (RFC 1982).
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "wraps")]
    index.set_serial(snapshot.revision as u32);
}
