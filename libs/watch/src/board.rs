use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is known of a service's objects: how each fares, by its key. Bounded by their number.
#[derive(Debug)]
pub struct Board<K, S> {
    inner: Mutex<Inner<K, S>>,
}

#[derive(Debug)]
struct Inner<K, S> {
    states: BTreeMap<K, S>,
    /// Why what is known is not up to date; nothing: it is.
    fault: Option<String>,
    /// Whether it is open if the service is there: the fault is recent.
    is_in_doubt: bool,
}

impl<K: Clone + Ord, S: Clone + PartialEq> Board<K, S> {
    /// A board of which nothing is known yet.
    pub fn new() -> Self {
        let fault = Some("not connected yet".to_owned());
        Self { inner: Mutex::new(Inner { states: BTreeMap::new(), fault, is_in_doubt: true }) }
    }

    /// Why what is known is not up to date; nothing: it is.
    pub fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    /// Whether it is open if the service is there: what is known is not up to date, and has not been for so
    /// short a time that it may be about to. Whoever tells others waits for the news, which there soon are;
    /// whoever decides by what is known looks at the [`fault`](Self::fault), which is there at once.
    pub fn is_in_doubt(&self) -> bool {
        self.lock().is_in_doubt
    }

    /// The last known state of an object; nothing: there is none, as far as is known.
    pub fn state(&self, key: &K) -> Option<S> {
        self.lock().states.get(key).cloned()
    }

    /// The state of an object, if what is known is up to date.
    pub fn current(&self, key: &K) -> Option<S> {
        let inner = self.lock();
        inner.states.get(key).filter(|_| inner.fault.is_none()).cloned()
    }

    /// Whether the service has an object, as far as is known.
    pub fn knows(&self, key: &K) -> bool {
        self.lock().states.contains_key(key)
    }

    /// Whether the service has an object.
    ///
    /// # Errors
    /// Why what is known is not up to date.
    pub fn is_there(&self, key: &K) -> Result<bool, String> {
        let inner = self.lock();
        match &inner.fault {
            None => Ok(inner.states.contains_key(key)),
            Some(fault) => Err(fault.clone()),
        }
    }

    /// The key of every object that is known.
    pub fn keys(&self) -> Vec<K> {
        self.lock().states.keys().cloned().collect()
    }

    /// What is chosen of the objects that are known, in the order of their keys.
    pub fn choose<T>(&self, choose: impl FnMut((&K, &S)) -> Option<T>) -> Vec<T> {
        self.lock().states.iter().filter_map(choose).collect()
    }

    /// What is chosen of the objects from this key on, in the order of their keys, up to the first that is
    /// not chosen: of those whose keys begin alike, without a look at the others.
    pub fn choose_from<T>(&self, first: &K, choose: impl FnMut((&K, &S)) -> Option<T>) -> Vec<T> {
        self.lock().states.range::<K, _>(first..).map_while(choose).collect()
    }

    /// Notes the answer to a call, unless `covers` says that what is known is as new: what the watch
    /// told of the same version is never older.
    pub fn answered(&self, key: K, state: &S, covers: impl FnOnce(&S) -> bool) {
        let mut inner = self.lock();
        if !inner.states.get(&key).is_some_and(covers) {
            inner.states.insert(key, state.clone());
        }
    }

    /// Notes what is told of one object; nothing: it is gone.
    pub fn told(&self, key: K, state: Option<S>) {
        let mut inner = self.lock();
        match state {
            Some(state) => inner.states.insert(key, state),
            None => inner.states.remove(&key),
        };
    }

    /// Puts a snapshot in the place of everything that was known; answers with the objects that
    /// differ.
    pub fn synced(&self, states: BTreeMap<K, S>) -> BTreeSet<K> {
        let mut inner = self.lock();
        inner.fault = None;
        inner.is_in_doubt = false;
        let before = std::mem::replace(&mut inner.states, states);
        let all = before.keys().chain(inner.states.keys());
        all.filter(|key| before.get(*key) != inner.states.get(*key)).cloned().collect()
    }

    /// Notes why what is known is not up to date.
    pub fn lost(&self, why: String) {
        let mut inner = self.lock();
        if inner.fault.replace(why).is_none() {
            inner.is_in_doubt = true;
        }
    }

    /// Notes that this has been so for long enough to be told: the service is away.
    pub fn given_up(&self) {
        self.lock().is_in_doubt = false;
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, S>> {
        // No code that holds the lock can leave it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord, S: Clone + PartialEq> Default for Board<K, S> {
    fn default() -> Self {
        Self::new()
    }
}
