use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// The sandboxes that are being attached or detached: each by one call at a time.
#[derive(Default)]
pub(super) struct Sandboxes(Mutex<HashMap<String, Weak<Sandbox>>>);

#[derive(Default)]
struct Sandbox {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Cancelled when the attachment that is under way is to end.
    unwanted: Mutex<CancellationToken>,
}

/// A call's turn. Ends with the value.
pub(super) struct Turn {
    _sandbox: Arc<Sandbox>,
    _guard: OwnedMutexGuard<()>,
    /// Cancelled when the sandbox is to be detached, or nobody waits for its attachment.
    pub(super) unwanted: CancellationToken,
}

impl Sandboxes {
    /// Waits for the turn to attach a sandbox. That `given_up` is cancelled makes it unwanted, too.
    pub(super) async fn attach(&self, id: &str, given_up: &CancellationToken) -> Turn {
        let sandbox = self.of(id);
        let guard = Arc::clone(&sandbox.turn).lock_owned().await;
        let unwanted = given_up.child_token();
        sandbox.put(unwanted.clone());
        Turn { _sandbox: sandbox, _guard: guard, unwanted }
    }

    /// Ends an attachment that is under way, and waits for the turn to detach the sandbox.
    pub(super) async fn detach(&self, id: &str) -> Turn {
        let sandbox = self.of(id);
        let unwanted = sandbox.unwanted();
        unwanted.cancel();
        let guard = Arc::clone(&sandbox.turn).lock_owned().await;
        Turn { _sandbox: sandbox, _guard: guard, unwanted }
    }

    fn of(&self, id: &str) -> Arc<Sandbox> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = all.get(id).and_then(Weak::upgrade) {
            return sandbox;
        }
        all.retain(|_, sandbox| sandbox.strong_count() > 0);
        let sandbox = Arc::new(Sandbox::default());
        all.insert(id.to_owned(), Arc::downgrade(&sandbox));
        sandbox
    }
}

impl Sandbox {
    fn put(&self, token: CancellationToken) {
        *self.unwanted.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn unwanted(&self) -> CancellationToken {
        self.unwanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn detaching_ends_an_attachment_and_comes_after_it() {
        let sandboxes = Sandboxes::default();
        let attaching = sandboxes.attach("s", &CancellationToken::new()).await;
        assert!(!attaching.unwanted.is_cancelled());
        let mut detaching = Box::pin(sandboxes.detach("s"));
        assert!(detaching.as_mut().now_or_never().is_none());
        assert!(attaching.unwanted.is_cancelled());
        assert!(sandboxes.detach("another").now_or_never().is_some());
        drop(attaching);
        drop(detaching.await);
        let given_up = CancellationToken::new();
        let attaching = sandboxes.attach("s", &given_up).await;
        assert!(!attaching.unwanted.is_cancelled());
        given_up.cancel();
        assert!(attaching.unwanted.is_cancelled());
    }
}
