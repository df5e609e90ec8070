//! Watches: each reads from the database what is newer than what its client has seen, whenever it
//! is told that something changed.

use std::{pin::Pin, sync::Arc, time::Duration};

use l2sces_proto::resource::v1::ChangeKind;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;

use super::answer::Shown;
use crate::{
    intent::{Intents, Refusal},
    store::{Bounds, Change, Scope},
    validate::Report,
};

/// Most watches of all clients.
const MAX_WATCHES: usize = 1_000;

/// Changes that are read at a time, and that wait for the client.
const BATCH: usize = 200;

/// Longest that a client may read nothing. It can resume.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives out watches, up to a limit.
#[derive(Clone, Debug)]
pub(super) struct Watches {
    intents: Intents,
    permits: Arc<Semaphore>,
}

/// What a client is told.
pub(super) struct Told<M> {
    pub(super) kind: ChangeKind,
    pub(super) resource: Option<M>,
    pub(super) revision: i64,
}

/// The stream of a watch.
pub(super) type WatchStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where a watch is.
struct Cursor {
    slice: String,
    network: String,
    /// Changes up to this revision have been told.
    seen: i64,
    /// Deletions up to this revision are of no interest: the client never saw what was deleted.
    gone_seen: i64,
}

impl Watches {
    pub(super) fn new(intents: Intents) -> Self {
        Self { intents, permits: Arc::new(Semaphore::new(MAX_WATCHES)) }
    }

    /// Begins a watch after the revision that the client has seen; 0: with everything.
    pub(super) async fn begin<R: Shown, T: Send + 'static>(
        &self,
        scope: Scope<'_>,
        after: i64,
        wrap: fn(Told<R::Message>) -> T,
    ) -> Result<WatchStream<T>, Status> {
        if after < 0 {
            return Err(Report::of("after_revision", "must not be negative").into());
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit
            .map_err(|_| Status::resource_exhausted(format!("there are {MAX_WATCHES} watches")))?;
        let bounds = self.intents.store().bounds().await.map_err(Refusal::from)?;
        check_resumable(after, bounds)?;
        let cursor = Cursor {
            slice: scope.slice.to_owned(),
            network: scope.network.to_owned(),
            seen: after,
            gone_seen: if after == 0 { bounds.last } else { after },
        };
        let (sender, receiver) = mpsc::channel(BATCH);
        let intents = self.intents.clone();
        tokio::spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            let told = tell::<R, T>(&intents, cursor, bounds, &sender, wrap);
            let ended = tokio::select! {
                ended = told => ended,
                () = sender.closed() => return,
            };
            if let Err(status) = ended {
                // The client may be gone, or be the very reason.
                let _ = sender.try_send(Err(status));
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

fn check_resumable(after: i64, bounds: Bounds) -> Result<(), Refusal> {
    let why = if after > bounds.last {
        format!("revision {after} is in the future: start over with after_revision 0")
    } else if after != 0 && after < bounds.horizon {
        format!("deletions after revision {after} are forgotten: start over with after_revision 0")
    } else {
        return Ok(());
    };
    Err(Refusal::CannotResume(why))
}

async fn tell<R: Shown, T: Send>(
    intents: &Intents,
    mut cursor: Cursor,
    bounds: Bounds,
    sender: &mpsc::Sender<Result<T, Status>>,
    wrap: fn(Told<R::Message>) -> T,
) -> Result<(), Status> {
    let mut changed = intents.signals().subscribe(R::KIND);
    let resumed = cursor.seen != 0;
    let mut synced = false;
    loop {
        // Before the database is read: a change that comes meanwhile leads to another look.
        changed.mark_unchanged();
        let changes = read::<R>(intents, &cursor).await?;
        if resumed && !synced {
            // Tombstones may have been pruned between the first check and the read.
            let now = intents.store().bounds().await.map_err(Refusal::from)?;
            if cursor.seen < now.horizon {
                check_resumable(cursor.seen, now)?;
            }
        }
        let caught_up = changes.len() < BATCH;
        for change in changes {
            let revision = change.revision();
            cursor.seen = revision;
            cursor.gone_seen = cursor.gone_seen.max(revision);
            let (kind, resource) = match change {
                Change::Put(stored) => (ChangeKind::Put, R::show(&stored)),
                Change::Gone(gone) => (ChangeKind::Deleted, R::show_gone(&gone.meta)),
            };
            send(sender, wrap(Told { kind, resource: Some(resource), revision })).await?;
        }
        if !caught_up {
            continue;
        }
        if !synced {
            synced = true;
            cursor.seen = cursor.seen.max(bounds.last);
            let told = Told { kind: ChangeKind::Synced, resource: None, revision: cursor.seen };
            send(sender, wrap(told)).await?;
        }
        if changed.changed().await.is_err() {
            return Err(Status::unavailable("the service ends"));
        }
    }
}

async fn read<R: Shown>(intents: &Intents, cursor: &Cursor) -> Result<Vec<Change<R>>, Refusal> {
    let scope = Scope { slice: &cursor.slice, network: &cursor.network };
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    Ok(intents.store().changes(scope, cursor.seen, cursor.gone_seen, limit).await?)
}

async fn send<T>(sender: &mpsc::Sender<Result<T, Status>>, told: T) -> Result<(), Status> {
    match timeout(PATIENCE, sender.send(Ok(told))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::cancelled("the client left")),
        Err(_) => Err(Status::aborted("the client reads too slowly: resume")),
    }
}
