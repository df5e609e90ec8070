use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use l2sces_proto::resource::v1::Metadata;

/// What the slice-manager has answered last to what it was sent. It saves calls, and a restart costs one
/// for each object. Bounded by their number.
#[derive(Debug)]
pub(super) struct Settled<K> {
    answers: Mutex<BTreeMap<K, Answer>>,
}

#[derive(Debug)]
struct Answer {
    /// What was sent.
    content: Vec<u8>,
    /// What it is since, there.
    uid: String,
    generation: i64,
}

impl<K: Clone + Ord> Settled<K> {
    pub(super) fn new() -> Self {
        Self { answers: Mutex::new(BTreeMap::new()) }
    }

    /// Notes that an object has become this by what was sent.
    pub(super) fn note(&self, key: &K, content: Vec<u8>, metadata: Metadata) {
        let Metadata { uid, generation, .. } = metadata;
        self.lock().insert(key.clone(), Answer { content, uid, generation });
    }

    /// Whether an object is still what it became by this content.
    pub(super) fn is_as_sent(&self, key: &K, content: &[u8], known: &Metadata) -> bool {
        self.lock().get(key).is_some_and(|answer| {
            answer.content == content
                && answer.uid == known.uid
                && answer.generation == known.generation
        })
    }

    /// Whether an object that is known is older than what was answered last.
    pub(super) fn is_newer_than(&self, key: &K, known: &Metadata) -> bool {
        self.lock()
            .get(key)
            .is_some_and(|answer| answer.uid != known.uid || answer.generation > known.generation)
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Answer>> {
        // No code that holds the lock can leave it half changed.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(uid: &str, generation: i64) -> Metadata {
        Metadata { uid: uid.to_owned(), generation, ..Metadata::default() }
    }

    #[test]
    fn what_was_sent_is_not_sent_again_until_it_or_the_object_is_another() {
        let settled = Settled::new();
        settled.note(&"s", vec![1], version("u", 3));
        assert!(settled.is_as_sent(&"s", &[1], &version("u", 3)));
        assert!(!settled.is_as_sent(&"s", &[2], &version("u", 3)), "another content");
        assert!(!settled.is_as_sent(&"s", &[1], &version("u", 4)), "somebody has changed it");
        assert!(!settled.is_as_sent(&"s", &[1], &version("v", 3)), "it was made anew");
        assert!(!settled.is_as_sent(&"t", &[1], &version("u", 3)), "another object");
        settled.forget(&"s");
        assert!(!settled.is_as_sent(&"s", &[1], &version("u", 3)));
    }

    #[test]
    fn what_is_known_may_be_older_than_the_last_answer() {
        let settled = Settled::new();
        assert!(!settled.is_newer_than(&"s", &version("u", 1)), "nothing was sent");
        settled.note(&"s", vec![1], version("u", 3));
        assert!(settled.is_newer_than(&"s", &version("u", 2)));
        assert!(settled.is_newer_than(&"s", &version("former", 7)));
        assert!(!settled.is_newer_than(&"s", &version("u", 3)));
        assert!(!settled.is_newer_than(&"s", &version("u", 4)));
    }
}
