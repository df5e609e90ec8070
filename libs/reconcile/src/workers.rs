use std::{
    fmt::{Debug, Display},
    hash::Hash,
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use tracing::{Instrument, info_span};

use crate::{
    Queue, backoff,
    queue::{Finish, Running},
};

/// How a reconciliation ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do until the key is woken.
    Done,
    /// Run again after this long, or when the key is woken.
    After(Duration),
}

/// Reconciles keys of the queue for ever, up to `workers` at a time, on the calling task; drop the
/// future to stop.
///
/// A key is never reconciled twice at once. An error is logged and the key run again after a pause
/// that grows with each error in a row (at random up to 50 ms, 100 ms, ... 10 s) and that a wake
/// cuts short; a panic counts as an error. Each run has a span of its own, which calls made in it
/// carry on.
pub async fn run<K, F, Fut, E>(queue: Queue<K>, workers: usize, reconcile: F)
where
    K: Clone + Eq + Hash + Debug + Send,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Outcome, E>>,
    E: Display,
{
    let worker = async || {
        loop {
            let running = queue.take().await;
            let span = info_span!("reconcile", key = ?running.key());
            reconcile_one(running, &reconcile).instrument(span).await;
        }
    };
    join_all((0..workers).map(|_| worker())).await;
}

async fn reconcile_one<K, F, Fut, E>(running: Running<K>, reconcile: &F)
where
    K: Clone + Eq + Hash + Debug + Send,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Outcome, E>>,
    E: Display,
{
    let key = running.key().clone();
    // One object's bug must not stop the others.
    let result = AssertUnwindSafe(async { reconcile(key).await }).catch_unwind().await;
    let (finish, error) = match result {
        Ok(Ok(Outcome::Done)) => (Finish::Done, None),
        Ok(Ok(Outcome::After(pause))) => (Finish::After(pause), None),
        Ok(Err(error)) => (Finish::Failed(backoff::pause), Some(error.to_string())),
        Err(_) => (Finish::Failed(backoff::pause), Some("panicked".to_owned())),
    };
    let pause = running.finish(&finish);
    if let Some(error) = error {
        tracing::warn!(error, retry_after = ?pause.unwrap_or_default(), "reconciliation failed");
    }
}
