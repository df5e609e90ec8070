use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{ObjectKey, ObjectState};

/// What a service has acknowledged of parts of its objects, those of this cluster. Its watch tells only of
/// the whole, whose version is another whenever a part is: while it is what it was, so is the part.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    parts: Mutex<HashMap<ObjectKey, Acknowledgement>>,
}

#[derive(Debug)]
struct Acknowledgement {
    uid: String,
    generation: i64,
    /// How the whole fared then.
    whole: ObjectState,
}

impl Acknowledgements {
    /// Notes that the service has this version of a part, and how the whole fares with it.
    pub(super) fn note(&self, key: ObjectKey, uid: &str, generation: i64, whole: ObjectState) {
        let acknowledgement = Acknowledgement { uid: uid.to_owned(), generation, whole };
        self.lock().insert(key, acknowledgement);
    }

    /// Whether the service is known to have just this version of a part, by how the whole fares now.
    pub(super) fn cover(
        &self,
        key: &ObjectKey,
        uid: &str,
        generation: i64,
        whole: &ObjectState,
    ) -> bool {
        self.lock().get(key).is_some_and(|known| {
            known.uid == uid && known.generation == generation && known.whole.is_same_version(whole)
        })
    }

    /// Forgets a part that is to be removed.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    /// Forgets everything: the service may be another one, or know less than it did.
    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Acknowledgement>> {
        // No code that holds the lock can leave it half changed.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_covered_until_it_or_the_whole_is_another() {
        let key = ObjectKey::Slice("s".parse().unwrap());
        let whole = |generation| ObjectState {
            uid: "whole".to_owned(),
            generation,
            ..ObjectState::default()
        };
        let acknowledgements = Acknowledgements::default();
        let is_covered = |uid: &str, generation, whole: &ObjectState| {
            acknowledgements.cover(&key, uid, generation, whole)
        };
        assert!(!is_covered("part", 7, &whole(1)));
        acknowledgements.note(key.clone(), "part", 7, whole(1));
        let ready = ObjectState { ready: true, ..whole(1) };
        assert!(is_covered("part", 7, &ready), "how it fares is of no account");
        assert!(!is_covered("part", 8, &whole(1)));
        assert!(!is_covered("another", 7, &whole(1)));
        assert!(!is_covered("part", 7, &whole(2)), "somebody has changed it");

        acknowledgements.forget(&key);
        assert!(!is_covered("part", 7, &whole(1)));
        acknowledgements.note(key.clone(), "part", 7, whole(1));
        acknowledgements.forget_all();
        assert!(!is_covered("part", 7, &whole(1)));
    }
}
