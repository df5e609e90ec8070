use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use super::ObjectKey;

/// The generations of what is sent to a service. What is sent of one object comes from several
/// resources, so none of their generations will do: an object's generation is the time, in
/// milliseconds, when its content changed last. It grows over restarts, without anything being
/// remembered, and when another replica leads.
#[derive(Debug, Default)]
pub(super) struct Versions {
    sent: Mutex<HashMap<ObjectKey, Sent>>,
}

#[derive(Debug)]
struct Sent {
    content: Vec<u8>,
    generation: i64,
}

impl Versions {
    /// The generation of an object with this content: the same for the same content, else greater
    /// than all before.
    pub(super) fn generation(&self, key: &ObjectKey, content: Vec<u8>) -> i64 {
        let mut sent = self.lock();
        let before = sent.get(key);
        if let Some(before) = before
            && before.content == content
        {
            return before.generation;
        }
        let generation = now().max(before.map_or(1, |before| before.generation + 1));
        sent.insert(key.clone(), Sent { content, generation });
        generation
    }

    /// Notes that the service has an object of a later generation, so that what is sent next is
    /// later still: clocks of replicas differ.
    pub(super) fn surpassed(&self, key: &ObjectKey, generation: i64) {
        if let Some(sent) = self.lock().get_mut(key) {
            sent.generation = sent.generation.max(generation + 1);
        }
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Sent>> {
        // No code that holds the lock can leave it half changed.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_has_a_greater_generation_and_the_same_content_the_same() {
        let versions = Versions::default();
        let key = ObjectKey::Node("a1".parse().unwrap());
        let first = versions.generation(&key, vec![1]);
        assert_eq!(versions.generation(&key, vec![1]), first);
        let second = versions.generation(&key, vec![2]);
        assert!(second > first);
        assert!(versions.generation(&key, vec![1]) > second);
        assert!(Versions::default().generation(&key, vec![1]) >= first, "after a restart");
    }

    #[test]
    fn what_is_sent_again_surpasses_what_the_service_has() {
        let versions = Versions::default();
        let key = ObjectKey::Node("a1".parse().unwrap());
        let ours = versions.generation(&key, vec![1]);
        versions.surpassed(&key, ours + 1_000_000);
        assert_eq!(versions.generation(&key, vec![1]), ours + 1_000_001);
        versions.surpassed(&key, 1);
        assert_eq!(versions.generation(&key, vec![1]), ours + 1_000_001);
    }
}
