//! Follows a service's watch for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::{Board, ObjectKey, ObjectState};

/// Pauses between attempts, doubled each time, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A watch that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(10);
/// Longest that a service may take to tell everything that it has.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a service's watch tells.
#[derive(Debug)]
pub(crate) enum Change {
    /// An object fares like this.
    Put(ObjectKey, ObjectState),
    /// An object is gone.
    Gone(ObjectKey),
    /// Every object that exists has been told.
    Synced,
    /// Something that is of no interest here.
    Other,
}

/// What a service's watch tells, until it breaks.
pub(crate) type ChangeStream = Pin<Box<dyn Stream<Item = Result<Change, Status>> + Send>>;

/// What is new on a board.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The service is there again, or for the first time; these objects differ from what was known.
    Synced(BTreeSet<ObjectKey>),
    /// One object fares otherwise.
    Changed(ObjectKey),
    /// One object is gone.
    Gone(ObjectKey),
    /// The service is away.
    Lost,
}

/// Keeps the board at what the watch tells, for ever, and tells the news.
pub(crate) async fn follow(
    service: &str,
    board: &Board,
    watch: impl AsyncFn() -> Result<ChangeStream, Status>,
    tell: impl Fn(News),
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let status = follow_once(board, &watch, &tell).await;
        let why = format!("{service} is unreachable: {}", status.message());
        tracing::debug!(service, %status, "lost the watch");
        let was_known = board.fault().as_ref() == Some(&why);
        board.lost(why);
        if !was_known {
            tell(News::Lost);
        }
        if begun.elapsed() >= LASTING {
            pause = FIRST_PAUSE;
        }
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows the watch until it breaks.
async fn follow_once(
    board: &Board,
    watch: &impl AsyncFn() -> Result<ChangeStream, Status>,
    tell: &impl Fn(News),
) -> Status {
    let snapshot = async {
        let mut stream = watch().await?;
        let states = snapshot(&mut stream).await?;
        Ok((stream, states))
    };
    let (mut stream, states) = match timeout(SNAPSHOT_TIMEOUT, snapshot).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(status)) => return status,
        Err(_) => return Status::deadline_exceeded("the watch did not tell everything in time"),
    };
    tell(News::Synced(board.synced(states)));
    loop {
        let (key, state) = match next(&mut stream).await {
            Ok(Change::Put(key, state)) => (key, Some(state)),
            Ok(Change::Gone(key)) => (key, None),
            Ok(Change::Synced | Change::Other) => continue,
            Err(status) => return status,
        };
        let is_gone = state.is_none();
        board.told(key.clone(), state);
        tell(if is_gone { News::Gone(key) } else { News::Changed(key) });
    }
}

async fn snapshot(stream: &mut ChangeStream) -> Result<BTreeMap<ObjectKey, ObjectState>, Status> {
    let mut states = BTreeMap::new();
    loop {
        match next(stream).await? {
            Change::Put(key, state) => drop(states.insert(key, state)),
            Change::Gone(key) => drop(states.remove(&key)),
            Change::Other => {}
            Change::Synced => return Ok(states),
        }
    }
}

async fn next(stream: &mut ChangeStream) -> Result<Change, Status> {
    stream.next().await.unwrap_or_else(|| Err(Status::unavailable("the watch ended")))
}
