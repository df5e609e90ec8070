use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::Board;

/// Pauses between attempts, doubled each time, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A watch that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(10);
/// Longest that a service may take to tell everything that it has.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a service's watch tells.
#[derive(Debug)]
pub enum Change<K, S> {
    /// An object fares like this.
    Put(K, S),
    /// An object is gone.
    Gone(K),
    /// Every object that exists has been told.
    Synced,
    /// Something that is of no interest here.
    Other,
}

/// What a service's watch tells, until it breaks.
pub type ChangeStream<K, S> = Pin<Box<dyn Stream<Item = Result<Change<K, S>, Status>> + Send>>;

/// What is new on a board.
#[derive(Clone, Debug)]
pub enum News<K> {
    /// The service is there again, or for the first time; these objects differ from what was known.
    Synced(BTreeSet<K>),
    /// One object fares otherwise.
    Changed(K),
    /// One object is gone.
    Gone(K),
    /// The service is away.
    Lost,
}

/// Keeps the board at what the watch tells, for ever, and tells the news.
pub async fn follow<K: Clone + Ord, S: Clone + PartialEq>(
    service: &str,
    board: &Board<K, S>,
    watch: impl AsyncFn() -> Result<ChangeStream<K, S>, Status>,
    tell: impl Fn(News<K>),
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
async fn follow_once<K: Clone + Ord, S: Clone + PartialEq>(
    board: &Board<K, S>,
    watch: &impl AsyncFn() -> Result<ChangeStream<K, S>, Status>,
    tell: &impl Fn(News<K>),
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

async fn snapshot<K: Ord, S>(stream: &mut ChangeStream<K, S>) -> Result<BTreeMap<K, S>, Status> {
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

async fn next<K, S>(stream: &mut ChangeStream<K, S>) -> Result<Change<K, S>, Status> {
    stream.next().await.unwrap_or_else(|| Err(Status::unavailable("the watch ended")))
}
