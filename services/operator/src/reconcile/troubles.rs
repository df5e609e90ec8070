use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use l2sces_kubernetes::conditions::BLOCKED;

use super::Key;
use crate::services::Trouble;

/// How long a refusal counts as something that is on its way: what it is refused for is mostly just being
/// made or removed, as the nodes of a new slice are.
const PASSING: Duration = Duration::from_secs(30);

/// What went wrong with nodes, slices and networks when they were reconciled last, as it is told. Bounded by
/// their number.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    noted: Mutex<HashMap<Key, Noted>>,
}

#[derive(Debug)]
struct Noted {
    told: Trouble,
    /// Since when it has been refused; nothing: it is something else.
    refused_since: Option<Instant>,
}

impl Troubles {
    /// What went wrong with a node, slice or network; nothing: it went well.
    pub(super) fn of(&self, key: &Key) -> Option<Trouble> {
        self.lock().get(key).map(|noted| noted.told.clone())
    }

    /// With what something went wrong.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.lock().keys().cloned().collect()
    }

    /// Notes how reconciling has ended now; whether that is told otherwise than what was noted before.
    pub(super) fn note(&self, key: &Key, trouble: Option<Trouble>, now: Instant) -> bool {
        let mut noted = self.lock();
        let before = noted.remove(key);
        let Some(trouble) = trouble else { return before.is_some() };
        let refused_since = before.as_ref().and_then(|before| before.refused_since);
        let after = Noted::new(trouble, refused_since, now);
        let is_news = before.is_none_or(|before| before.told != after.told);
        noted.insert(key.clone(), after);
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Noted>> {
        // No code that holds the lock can leave it half changed.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// A trouble, where there have been refusals since this time already.
    fn new(trouble: Trouble, refused_since: Option<Instant>, now: Instant) -> Self {
        let since = (trouble.reason == BLOCKED).then(|| refused_since.unwrap_or(now));
        let is_passing = since.is_some_and(|since| now.duration_since(since) < PASSING);
        let told = if is_passing { Trouble::waiting(trouble.message) } else { trouble };
        Self { told, refused_since: since }
    }
}

#[cfg(test)]
mod tests {
    use l2sces_kubernetes::conditions::WAITING;
    use tonic::Status;

    use super::*;

    fn refusal(message: &str) -> Option<Trouble> {
        Some(Trouble::of_call("the sco-provider", &Status::failed_precondition(message)))
    }

    #[test]
    fn a_refusal_is_told_when_it_lasts() {
        let troubles = Troubles::default();
        let key = Key::Slice("s".parse().unwrap());
        let begin = Instant::now();
        let reason = || troubles.of(&key).map(|trouble| trouble.reason);
        let note = |trouble, after: Duration| troubles.note(&key, trouble, begin + after);
        assert!(note(refusal("no gateway"), Duration::ZERO));
        assert_eq!(reason(), Some(WAITING));
        assert!(!note(refusal("no gateway"), PASSING / 2), "the same");
        // Also when it is refused for something else meanwhile.
        assert!(note(refusal("no slice"), PASSING));
        assert_eq!(reason(), Some(BLOCKED));
        assert!(!note(refusal("no slice"), PASSING * 2), "not at each attempt");
        assert!(note(None, PASSING * 2));
        assert_eq!((reason(), troubles.keys()), (None, Vec::new()));
        note(refusal("no slice"), PASSING * 3);
        assert_eq!(reason(), Some(WAITING), "it has been well meanwhile");
    }

    #[test]
    fn what_is_no_refusal_is_told_at_once() {
        let troubles = Troubles::default();
        let key = Key::Slice("s".parse().unwrap());
        let now = Instant::now();
        troubles.note(&key, refusal("no gateway"), now);
        let away = Trouble::unreachable("it is away".to_owned());
        assert!(troubles.note(&key, Some(away.clone()), now));
        assert_eq!(troubles.of(&key), Some(away));
        troubles.note(&key, refusal("no gateway"), now + PASSING);
        assert_eq!(troubles.of(&key).map(|trouble| trouble.reason), Some(WAITING));
    }
}
