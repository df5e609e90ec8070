use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// One lock per name, for as long as somebody holds or awaits it.
#[derive(Debug, Default)]
pub(crate) struct NamedLocks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl NamedLocks {
    /// Waits until nobody else holds this name's lock.
    pub(crate) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        self.of(name).lock_owned().await
    }

    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn excludes_the_same_name_only_and_forgets() {
        let locks = NamedLocks::default();
        let a = locks.lock("a").await;
        assert!(locks.lock("a").now_or_never().is_none());
        let b = locks.lock("b").now_or_never();
        assert!(b.is_some());
        drop((a, b));
        let _a = locks.lock("a").now_or_never().unwrap();
        let _c = locks.lock("c").await;
        assert!(!locks.0.lock().unwrap().contains_key("b"));
    }
}
