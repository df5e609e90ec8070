//! Follows a service's watch for as long as the service is of interest.

use std::{collections::HashMap, sync::Arc};

use futures::StreamExt;
use l2sces_trace::{Caused, TraceContext};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use tonic::Status;

use super::{
    ObjectKey, ObjectState, Target,
    observed::News,
    remote::{Service, Shared, StateChange, StateStream},
    trouble::describe,
};
use crate::{
    domain::{Key, Kind},
    store::StoreError,
};

/// Pauses between attempts, doubled each time, with jitter. Short, because a change asked for while
/// a service was down waits for this.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A watch that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(10);

/// Longest that a service may take to tell everything that it has.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn follow_for_ever<S: Service>(shared: Arc<Shared<S>>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let why = follow_or_give_up(&shared).await;
        shared.observed.lost();
        tracing::debug!(target = %shared.target, why, "lost the watch");
        if shared.observed.failed(&why) {
            wake(&shared, Reach::Dependents).await;
        }
        if begun.elapsed() >= LASTING {
            pause = FIRST_PAUSE;
        }
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows the watch until it breaks, or until calls go unanswered; says why.
async fn follow_or_give_up<S: Service>(shared: &Shared<S>) -> String {
    let following = follow(shared);
    tokio::pin!(following);
    loop {
        let grace_ends = shared.observed.grace_ends();
        tokio::select! {
            status = &mut following => return describe(&status),
            () = shared.suspect.notified() => return "calls got no answer".to_owned(),
            () = sleep_until(grace_ends.unwrap_or_else(Instant::now)), if grace_ends.is_some() => {
                if shared.observed.unheard() {
                    wake(shared, Reach::Dependents).await;
                }
            }
        }
    }
}

/// Follows the watch until it breaks.
async fn follow<S: Service>(shared: &Shared<S>) -> Status {
    let snapshot = async {
        let mut stream = shared.service.watch().await?;
        let states = snapshot(&mut stream).await?;
        Ok((stream, states))
    };
    let (mut stream, states) = match timeout(SNAPSHOT_TIMEOUT, snapshot).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(status)) => return status,
        Err(_) => return Status::deadline_exceeded("the watch did not tell everything in time"),
    };
    tracing::info!(target = %shared.target, objects = states.len(), "following");
    match shared.observed.synced(states) {
        News::Everything => wake(shared, Reach::Dependents).await,
        News::Changed(keys) => {
            shared.signals.wake(keys.iter().filter_map(|key| key.owner(&shared.target)));
            wake(shared, Reach::Unsettled).await;
        }
    }
    loop {
        let Caused { what: change, cause } = match next(&mut stream).await {
            Ok(change) => change,
            Err(status) => return status,
        };
        let (key, state) = match change {
            StateChange::Put(key, state) => (key, Some(*state)),
            StateChange::Gone(key) => (key, None),
            StateChange::Synced => continue,
        };
        let owner = key.owner(&shared.target);
        shared.observed.told(key, state);
        TraceContext::within(cause, || shared.signals.wake(owner));
    }
}

async fn snapshot(stream: &mut StateStream) -> Result<HashMap<ObjectKey, ObjectState>, Status> {
    let mut states = HashMap::new();
    loop {
        match next(stream).await?.what {
            StateChange::Put(key, state) => states.insert(key, *state),
            StateChange::Gone(key) => states.remove(&key),
            StateChange::Synced => return Ok(states),
        };
    }
}

async fn next(stream: &mut StateStream) -> Result<Caused<StateChange>, Status> {
    stream.next().await.unwrap_or_else(|| Err(Status::unavailable("the watch ended")))
}

/// Which resources are to be looked at.
#[derive(Clone, Copy)]
enum Reach {
    /// All that the service has a part in.
    Dependents,
    /// Those that may have something left to do.
    Unsettled,
}

/// Has resources looked at. Does not give up: nobody else would tell them.
async fn wake<S: Service>(shared: &Shared<S>, reach: Reach) {
    loop {
        let keys = match reach {
            Reach::Dependents => dependents(shared).await,
            Reach::Unsettled => shared.store.unsettled().await,
        };
        match keys {
            Ok(keys) => return shared.signals.wake(keys),
            Err(error) => {
                tracing::warn!(target = %shared.target, %error, "cannot look up what to wake");
                sleep(LONGEST_PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
            }
        }
    }
}

async fn dependents<S: Service>(shared: &Shared<S>) -> Result<Vec<Key>, StoreError> {
    match &shared.target {
        Target::Sco => shared.store.keys(&[Kind::Cluster, Kind::Slice, Kind::Network]).await,
        Target::Cluster(name) => {
            shared.store.keys_in_cluster(name, &shared.target.to_string()).await
        }
    }
}
