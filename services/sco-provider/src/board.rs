//! What watchers are shown: a set of items, and the changes to it in one order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use l2sces_trace::Caused;
use tokio::sync::broadcast;

/// A change of one item. Before or after may be missing, not both.
#[derive(Debug)]
pub struct Change<K, V> {
    /// Names the item.
    pub key: K,
    /// What it was.
    pub before: Option<Arc<V>>,
    /// What it is.
    pub after: Option<Arc<V>>,
}

impl<K: Clone, V> Clone for Change<K, V> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), before: self.before.clone(), after: self.after.clone() }
    }
}

/// All items at one moment.
pub type Snapshot<K, V> = Vec<(K, Arc<V>)>;

/// Changes as they are made, and why.
pub type Changes<K, V> = broadcast::Receiver<Caused<Change<K, V>>>;

/// A set of items that can be watched without missing a change. Its size is that of what it shows;
/// a watcher that falls too far behind is told so by its receiver and must begin anew.
#[derive(Debug)]
pub struct Board<K, V> {
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    items: BTreeMap<K, Arc<V>>,
    changes: broadcast::Sender<Caused<Change<K, V>>>,
}

impl<K: Clone + Ord, V: PartialEq> Board<K, V> {
    /// An empty board whose watchers may fall behind by `backlog` changes.
    pub fn new(backlog: usize) -> Self {
        let (changes, _) = broadcast::channel(backlog);
        Self { inner: Mutex::new(Inner { items: BTreeMap::new(), changes }) }
    }

    /// Shows an item. No change if it is shown already.
    pub fn put(&self, key: K, value: V) {
        self.lock().show(key, value);
    }

    /// Changes an item, if it is shown.
    pub fn update(&self, key: &K, change: impl FnOnce(&V) -> V) {
        // Under one lock: who takes the item off meanwhile would see it come back.
        let mut inner = self.lock();
        if let Some(value) = inner.items.get(key).map(|shown| change(shown)) {
            inner.show(key.clone(), value);
        }
    }

    /// Takes an item off.
    pub fn remove(&self, key: &K) {
        let mut inner = self.lock();
        if let Some(before) = inner.items.remove(key) {
            inner.announce(Change { key: key.clone(), before: Some(before), after: None });
        }
    }

    /// An item as it is shown.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.lock().items.get(key).cloned()
    }

    /// What is shown now, and every change that is made from now on.
    pub fn watch(&self) -> (Snapshot<K, V>, Changes<K, V>) {
        let inner = self.lock();
        // Under one lock: no change falls between the snapshot and the stream.
        let snapshot =
            inner.items.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        (snapshot, inner.changes.subscribe())
    }

    /// Every method leaves the set whole at every point where it could panic.
    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord, V: PartialEq> Inner<K, V> {
    fn show(&mut self, key: K, value: V) {
        if self.items.get(&key).is_some_and(|shown| **shown == value) {
            return;
        }
        let after = Arc::new(value);
        let before = self.items.insert(key.clone(), after.clone());
        self.announce(Change { key, before, after: Some(after) });
    }

    fn announce(&self, change: Change<K, V>) {
        // An error says that nobody watches.
        let _ = self.changes.send(Caused::now(change));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, thread};

    use tokio::sync::broadcast::error::{RecvError, TryRecvError};

    use super::*;

    #[test]
    fn putting_the_same_again_is_no_change() {
        let board = Board::new(16);
        let (_, mut changes) = board.watch();
        board.put("a", 1);
        board.put("a", 1);
        board.put("a", 2);
        board.remove(&"a");
        board.remove(&"a");
        let mut seen = Vec::new();
        while let Ok(change) = changes.try_recv() {
            let Change { before, after, .. } = change.what;
            seen.push((before.as_deref().copied(), after.as_deref().copied()));
        }
        assert_eq!(seen, [(None, Some(1)), (Some(1), Some(2)), (Some(2), None)]);
    }

    #[test]
    fn a_snapshot_and_its_changes_add_up_under_concurrent_writes() {
        const WRITES: usize = 5_000;
        let board = Board::new(4 * WRITES);
        let writer = |lane: usize| {
            for turn in 0..WRITES {
                let key = lane * 10 + turn % 7;
                if turn % 5 == 4 {
                    board.remove(&key);
                } else {
                    board.put(key, turn);
                }
            }
        };
        thread::scope(|scope| {
            let writers = [0, 1, 2].map(|lane| scope.spawn(move || writer(lane)));
            let watchers: Vec<_> = (0..20).map(|_| board.watch()).collect();
            for writer in writers {
                writer.join().unwrap();
            }
            let (wanted, _) = board.watch();
            let wanted: HashMap<_, _> = wanted.into_iter().map(|(k, v)| (k, *v)).collect();
            for (snapshot, mut changes) in watchers {
                let mut seen: HashMap<_, _> = snapshot.into_iter().map(|(k, v)| (k, *v)).collect();
                loop {
                    match changes.try_recv() {
                        Ok(Caused { what: Change { key, before, after }, .. }) => {
                            let known = match after {
                                Some(after) => seen.insert(key, *after),
                                None => seen.remove(&key),
                            };
                            assert_eq!(known, before.as_deref().copied(), "a change was missed");
                        }
                        Err(TryRecvError::Empty) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                assert_eq!(seen, wanted);
            }
        });
    }

    #[test]
    fn what_is_removed_is_not_brought_back_by_an_update_at_the_same_time() {
        const TURNS: usize = 1_000;
        let board = Board::new(16);
        thread::scope(|scope| {
            let updater = scope.spawn(|| {
                for turn in 0..TURNS {
                    board.update(&"a", |_| {
                        thread::yield_now();
                        turn
                    });
                }
            });
            while !updater.is_finished() {
                board.put("a", TURNS);
                board.remove(&"a");
                assert_eq!(board.get(&"a"), None);
            }
        });
    }

    #[tokio::test]
    async fn a_watcher_that_falls_behind_is_told() {
        let board = Board::new(2);
        let (_, mut changes) = board.watch();
        for value in 0..4 {
            board.put("a", value);
        }
        assert!(matches!(changes.recv().await, Err(RecvError::Lagged(_))));
    }
}
