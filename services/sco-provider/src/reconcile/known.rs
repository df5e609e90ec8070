use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What workers know of objects of one kind. One worker at a time works on an object, so an entry
/// does not change under its hands.
#[derive(Debug)]
pub(super) struct Known<K, V> {
    entries: Mutex<HashMap<K, V>>,
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Known<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key).cloned()
    }

    pub(super) fn all(&self) -> Vec<(K, V)> {
        self.lock().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Returns what was known before.
    pub(super) fn insert(&self, key: &K, value: V) -> Option<V> {
        self.lock().insert(key.clone(), value)
    }

    /// Returns what was known before.
    pub(super) fn remove(&self, key: &K) -> Option<V> {
        self.lock().remove(key)
    }

    /// A map is whole between any two of its methods.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
