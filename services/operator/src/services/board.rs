use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use l2sces_model::Name;

use super::{ObjectKey, ObjectState, Trouble};
use crate::plan::NetworkKey;

/// What is known of a service's objects. Bounded by their number.
#[derive(Debug)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    states: BTreeMap<ObjectKey, ObjectState>,
    /// Why what is known is not up to date; nothing: it is.
    fault: Option<String>,
}

impl Board {
    pub(crate) fn new() -> Self {
        let fault = Some("not connected yet".to_owned());
        Self { inner: Mutex::new(Inner { states: BTreeMap::new(), fault }) }
    }

    /// Why what is known is not up to date; nothing: it is.
    pub(crate) fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    /// The last known state of an object; nothing: there is none, as far as is known.
    pub(crate) fn state(&self, key: &ObjectKey) -> Option<ObjectState> {
        self.lock().states.get(key).cloned()
    }

    /// The state of an object, if the service is known to have just this version of it.
    pub(super) fn covering(
        &self,
        key: &ObjectKey,
        uid: &str,
        generation: i64,
    ) -> Option<ObjectState> {
        let inner = self.lock();
        let state = inner.states.get(key).filter(|_| inner.fault.is_none())?;
        (state.uid == uid && state.generation == generation).then(|| state.clone())
    }

    /// Whether the service has an object, as far as is known.
    pub(crate) fn knows(&self, key: &ObjectKey) -> bool {
        self.lock().states.contains_key(key)
    }

    /// Whether the service has an object.
    ///
    /// # Errors
    /// What is known is not up to date.
    pub(crate) fn is_there(&self, key: &ObjectKey) -> Result<bool, Trouble> {
        let inner = self.lock();
        match &inner.fault {
            None => Ok(inner.states.contains_key(key)),
            Some(fault) => Err(Trouble::unreachable(fault.clone())),
        }
    }

    /// Every object that is known.
    pub(crate) fn keys(&self) -> Vec<ObjectKey> {
        self.lock().states.keys().cloned().collect()
    }

    /// The networks of a slice.
    pub(crate) fn networks_of(&self, slice: &Name) -> Vec<NetworkKey> {
        let inner = self.lock();
        let networks = inner.states.keys().filter_map(|key| match key {
            ObjectKey::Network(network) if network.slice == *slice => Some(network.clone()),
            _ => None,
        });
        networks.collect()
    }

    /// The ports of a network, by name.
    pub(crate) fn ports_of(&self, network: &NetworkKey) -> BTreeMap<Name, ObjectState> {
        let inner = self.lock();
        let ports = inner.states.iter().filter_map(|(key, state)| match key {
            ObjectKey::Port(of, name) if of == network => Some((name.clone(), state.clone())),
            _ => None,
        });
        ports.collect()
    }

    /// Notes the answer to a call. What the watch told of the same version is never older.
    pub(super) fn answered(&self, key: ObjectKey, state: &ObjectState) {
        let mut inner = self.lock();
        let known = inner.states.get(&key);
        if !known.is_some_and(|known| known.is_same_version(state)) {
            inner.states.insert(key, state.clone());
        }
    }

    /// Notes what the watch tells of one object; nothing: it is gone.
    pub(super) fn told(&self, key: ObjectKey, state: Option<ObjectState>) {
        let mut inner = self.lock();
        match state {
            Some(state) => inner.states.insert(key, state),
            None => inner.states.remove(&key),
        };
    }

    /// Puts a snapshot in the place of everything that was known; answers with the objects that
    /// differ.
    pub(super) fn synced(&self, states: BTreeMap<ObjectKey, ObjectState>) -> BTreeSet<ObjectKey> {
        let mut inner = self.lock();
        inner.fault = None;
        let before = std::mem::replace(&mut inner.states, states);
        let all = before.keys().chain(inner.states.keys());
        all.filter(|key| before.get(*key) != inner.states.get(*key)).cloned().collect()
    }

    /// Notes why the service is away.
    pub(super) fn lost(&self, why: String) {
        self.lock().fault = Some(why);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can leave it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectState {
    fn is_same_version(&self, other: &Self) -> bool {
        self.uid == other.uid && self.generation == other.generation
    }
}
