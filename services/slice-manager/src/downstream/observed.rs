use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::{Duration, Instant};

use super::{ObjectKey, ObjectState, Version};

/// How long a service may be away before that is worth telling: a restart is over sooner.
const GRACE: Duration = Duration::from_secs(3);

/// How often it is worth telling that a service is away for another reason than before: reasons may
/// alternate with every attempt, and everything in a cluster is looked at when one is told.
const REASON_INTERVAL: Duration = Duration::from_secs(10);

/// Why a service is away of which nothing was heard yet.
const NO_ANSWER: &str = "no answer";

/// What is known of a service's objects. Bounded by their number.
#[derive(Debug)]
pub(super) struct Observed {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    health: Health,
    states: HashMap<ObjectKey, ObjectState>,
    ever_synced: bool,
    /// The reason that was last told, and when. Of meaning while the service is unreachable.
    told: (String, Instant),
    /// What somebody asked about while the service was connecting: see [`Observed::health_for`].
    awaited: HashSet<ObjectKey>,
}

/// Whether what is known is up to date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Health {
    /// Not since this moment, which is recent.
    Connecting(Instant),
    /// It is.
    Synced,
    /// Not for long, and this is why.
    Unreachable(String),
}

/// What a snapshot brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is the first: everything is news.
    Everything,
    /// These objects differ from what was known, or were asked about meanwhile.
    Changed(HashSet<ObjectKey>),
}

impl Observed {
    pub(super) fn new() -> Self {
        let health = Health::Connecting(Instant::now());
        let told = (String::new(), Instant::now());
        let (states, awaited) = (HashMap::new(), HashSet::new());
        let inner = Inner { health, states, ever_synced: false, told, awaited };
        Self { inner: Mutex::new(inner) }
    }

    pub(super) fn health(&self) -> Health {
        self.lock().health.clone()
    }

    /// The same for somebody who asks about an object. While the service is connecting, whatever else
    /// it has learned of its resource is not written down; so the object is news when the service is
    /// back, though it may not have changed.
    pub(super) fn health_for(&self, key: &ObjectKey) -> Health {
        let mut inner = self.lock();
        if matches!(inner.health, Health::Connecting(_)) {
            inner.awaited.insert(key.clone());
        }
        inner.health.clone()
    }

    pub(super) fn state(&self, key: &ObjectKey) -> Option<ObjectState> {
        self.lock().states.get(key).cloned()
    }

    /// The state that covers a version, if one is known.
    pub(super) fn covering(&self, key: &ObjectKey, version: &Version) -> Option<ObjectState> {
        self.lock().states.get(key).filter(|state| state.covers(version)).cloned()
    }

    /// Notes the answer to a call, and says what is known now. The watch may have told of the same
    /// version already, and what it tells is never older than an answer that arrives after it.
    pub(super) fn answered(&self, key: ObjectKey, state: ObjectState) -> ObjectState {
        let mut inner = self.lock();
        if let Some(known) = inner.states.get(&key)
            && known.same_version(&state)
        {
            return known.clone();
        }
        inner.states.insert(key, state.clone());
        state
    }

    /// Notes what the watch tells of one object; nothing: it is gone.
    pub(super) fn told(&self, key: ObjectKey, state: Option<ObjectState>) {
        let mut inner = self.lock();
        match state {
            Some(state) => inner.states.insert(key, state),
            None => inner.states.remove(&key),
        };
    }

    /// Puts a snapshot in the place of everything that was known.
    pub(super) fn synced(&self, states: HashMap<ObjectKey, ObjectState>) -> News {
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.states, states);
        let awaited = std::mem::take(&mut inner.awaited);
        inner.health = Health::Synced;
        if !std::mem::replace(&mut inner.ever_synced, true) {
            return News::Everything;
        }
        let now = &inner.states;
        let put = now.iter().filter(|(key, state)| before.get(*key) != Some(*state));
        let gone = before.keys().filter(|key| !now.contains_key(*key));
        let changed = put.map(|(key, _)| key).chain(gone).cloned();
        News::Changed(changed.chain(awaited).collect())
    }

    /// Notes that the watch is lost.
    pub(super) fn lost(&self) {
        let mut inner = self.lock();
        if inner.health == Health::Synced {
            inner.health = Health::Connecting(Instant::now());
        }
    }

    /// When a service that is away becomes one that cannot be reached.
    pub(super) fn grace_ends(&self) -> Option<Instant> {
        match self.lock().health {
            Health::Connecting(since) => Some(since + GRACE),
            Health::Synced | Health::Unreachable(_) => None,
        }
    }

    /// Notes that nothing was heard of the service; whether that is now worth telling.
    pub(super) fn unheard(&self) -> bool {
        self.failed(NO_ANSWER)
    }

    /// Notes why the service is away; whether that is now worth telling: it has been away for long
    /// enough, or is away for another reason than was told.
    pub(super) fn failed(&self, why: &str) -> bool {
        let mut inner = self.lock();
        let (told, at) = &inner.told;
        let is_news = match inner.health {
            Health::Connecting(since) if since.elapsed() >= GRACE => true,
            Health::Unreachable(_) => {
                told != why && (told == NO_ANSWER || at.elapsed() >= REASON_INTERVAL)
            }
            Health::Connecting(_) | Health::Synced => return false,
        };
        inner.health = Health::Unreachable(why.to_owned());
        if is_news {
            inner.told = (why.to_owned(), Instant::now());
        }
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can leave it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::downstream::Given;

    fn state(generation: i64, ready: bool) -> ObjectState {
        ObjectState {
            uid: Uuid::nil().to_string(),
            generation,
            ready,
            reason: String::new(),
            message: String::new(),
            given: Given::Nothing,
        }
    }

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_answer_does_not_undo_what_the_watch_told() {
        let observed = Observed::new();
        observed.told(key("slice/s"), Some(state(1, true)));
        assert!(observed.answered(key("slice/s"), state(1, false)).ready);
        assert!(!observed.answered(key("slice/s"), state(2, false)).ready);
        let version = |generation| Version { uid: Uuid::nil(), generation };
        assert!(observed.covering(&key("slice/s"), &version(2)).is_some());
        assert!(observed.covering(&key("slice/s"), &version(3)).is_none());
    }

    #[tokio::test]
    async fn a_later_snapshot_tells_what_differs() {
        let observed = Observed::new();
        let snapshot = |keys: &[(&str, bool)]| {
            keys.iter().map(|(text, ready)| (key(text), state(1, *ready))).collect()
        };
        let first = snapshot(&[("node/a", true), ("node/b", true), ("node/c", true)]);
        assert_eq!(observed.synced(first), News::Everything);
        observed.lost();
        let second = snapshot(&[("node/a", true), ("node/b", false), ("node/d", true)]);
        let changed = ["node/b", "node/c", "node/d"].map(key).into_iter().collect();
        assert_eq!(observed.synced(second), News::Changed(changed));
    }

    #[tokio::test]
    async fn what_was_asked_about_while_the_service_was_connecting_is_news_when_it_is_back() {
        let observed = Observed::new();
        let snapshot = || HashMap::from([(key("node/a"), state(1, true))]);
        observed.synced(snapshot());
        assert_eq!(observed.health_for(&key("node/a")), Health::Synced);
        observed.lost();
        assert!(matches!(observed.health_for(&key("node/a")), Health::Connecting(_)));
        assert_eq!(observed.synced(snapshot()), News::Changed(HashSet::from([key("node/a")])));
        observed.lost();
        assert_eq!(observed.synced(snapshot()), News::Changed(HashSet::new()), "it is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_absence_is_not_worth_telling() {
        let observed = Observed::new();
        observed.synced(HashMap::new());
        observed.lost();
        assert!(!observed.failed("refused"));
        assert!(matches!(observed.health(), Health::Connecting(_)));
        tokio::time::advance(GRACE).await;
        assert!(observed.failed("refused"));
        assert!(!observed.failed("still refused"));
        assert_eq!(observed.health(), Health::Unreachable("still refused".to_owned()));
        observed.synced(HashMap::new());
        assert_eq!(observed.health(), Health::Synced);
    }

    #[tokio::test(start_paused = true)]
    async fn another_reason_is_told_but_not_with_every_attempt() {
        let observed = Observed::new();
        tokio::time::advance(GRACE).await;
        assert!(observed.unheard());
        assert!(!observed.unheard());
        // The first that is heard says more than that nothing was.
        assert!(observed.failed("refused"));
        assert!(!observed.failed("not allowed"));
        assert!(!observed.failed("refused"));
        tokio::time::advance(REASON_INTERVAL).await;
        assert!(!observed.failed("refused"));
        assert!(observed.failed("not allowed"));
    }
}
