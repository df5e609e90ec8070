use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::ports::DELETING;
use crate::services::{Feed, Listener, News, ObjectKey, ObjectState, Told};

/// How ports fare, for those who wait for them: they are woken by the feed of the sdn-controller, and
/// ask it for nothing.
pub(crate) struct Progress {
    feed: Feed,
    waiting: Mutex<HashMap<ObjectKey, Weak<Notify>>>,
}

/// How waiting for a port has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its frames are delivered.
    Ready(ObjectState),
    /// It has been removed, or is being removed.
    Gone,
    /// It has become another's: of another sandbox of the pod, say.
    Replaced,
}

impl Progress {
    /// The progress of the ports that a feed tells of.
    pub(crate) fn new(feed: Feed) -> Self {
        Self { feed, waiting: Mutex::default() }
    }

    /// Wakes those who wait, for as long as there is a feed.
    pub(crate) async fn follow(&self) {
        let mut listener: Listener = self.feed.listen();
        // What was told before anybody listened.
        self.wake_all();
        while let Some(told) = listener.next().await {
            match told {
                Told::News(News::Changed(key) | News::Gone(key)) => self.wake(&key),
                Told::News(News::Synced(_)) | Told::Missed => self.wake_all(),
                Told::News(News::Lost) => {}
            }
        }
    }

    /// Whether a port is there in the version of this uid, and is to stay.
    pub(super) fn has(&self, key: &ObjectKey, uid: &str) -> bool {
        let state = self.feed.board.state(key);
        state.is_some_and(|state| state.uid == uid && state.reason != DELETING)
    }

    /// Whether what is there of a port is being removed.
    pub(super) fn is_going(&self, key: &ObjectKey) -> bool {
        self.feed.board.state(key).is_some_and(|state| state.reason == DELETING)
    }

    /// Waits until a port in the version of this uid, which the controller has, is ready or gone. Says
    /// by `look` how it fares each time that it is looked at.
    pub(super) async fn arrival(
        &self,
        key: &ObjectKey,
        uid: &str,
        mut look: impl FnMut(&ObjectState),
    ) -> Arrival {
        let bell = self.bell(key);
        // The feed may be behind what the controller has answered: only what has been there is gone.
        let mut was_there = false;
        loop {
            let mut rung = std::pin::pin!(bell.notified());
            // What is told from here on is not missed.
            rung.as_mut().enable();
            match self.feed.board.state(key) {
                Some(state) if state.uid != uid && was_there => return Arrival::Replaced,
                // Of a former life of the port.
                Some(state) if state.uid != uid => {}
                Some(state) if state.reason == DELETING => return Arrival::Gone,
                Some(state) if state.ready => return Arrival::Ready(state),
                Some(state) => {
                    was_there = true;
                    look(&state);
                }
                None if was_there => return Arrival::Gone,
                None => {}
            }
            rung.await;
        }
    }

    /// What rings when there is news of a port.
    fn bell(&self, key: &ObjectKey) -> Arc<Notify> {
        let mut waiting = self.lock();
        if let Some(bell) = waiting.get(key).and_then(Weak::upgrade) {
            return bell;
        }
        waiting.retain(|_, bell| bell.strong_count() > 0);
        let bell = Arc::new(Notify::new());
        waiting.insert(key.clone(), Arc::downgrade(&bell));
        bell
    }

    fn wake(&self, key: &ObjectKey) {
        if let Some(bell) = self.lock().get(key).and_then(Weak::upgrade) {
            bell.notify_waiters();
        }
    }

    fn wake_all(&self) {
        self.lock().values().filter_map(Weak::upgrade).for_each(|bell| bell.notify_waiters());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Weak<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::{
        FutureExt, StreamExt,
        channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    };
    use tokio::sync::Mutex as AsyncMutex;
    use tonic::Status;

    use super::*;
    use crate::{
        plan::NetworkKey,
        services::{Change, ChangeStream},
    };

    fn key() -> ObjectKey {
        let network = NetworkKey { slice: "s".parse().unwrap(), name: "blue".parse().unwrap() };
        ObjectKey::Port(network, "web".parse().unwrap())
    }

    fn fares(uid: &str, ready: bool, reason: &str) -> Change {
        let (uid, reason) = (uid.to_owned(), reason.to_owned());
        Change::Put(key(), ObjectState { uid, ready, reason, ..ObjectState::default() })
    }

    /// One connection after the other, each of which tells what the test says.
    struct Controller {
        progress: Arc<Progress>,
        connections: UnboundedSender<UnboundedReceiver<Change>>,
        following: Pin<Box<dyn Future<Output = ()>>>,
    }

    impl Controller {
        fn new() -> Self {
            let feed = Feed::new("the controller");
            let progress = Arc::new(Progress::new(feed.clone()));
            let (connections, accepted) = unbounded::<UnboundedReceiver<Change>>();
            let woken = Arc::clone(&progress);
            let following = async move {
                let accepted = AsyncMutex::new(accepted);
                let watch = async || {
                    let changes = accepted.lock().await.next().await;
                    let changes = changes.ok_or_else(|| Status::unavailable("away"))?;
                    let stream: ChangeStream = Box::pin(changes.map(Ok));
                    Ok(stream)
                };
                tokio::join!(woken.follow(), feed.follow(watch));
            };
            Self { progress, connections, following: Box::pin(following) }
        }

        fn connects(&self) -> UnboundedSender<Change> {
            let (changes, told) = unbounded();
            self.connections.unbounded_send(told).unwrap();
            changes
        }

        /// Lets everything happen that can, with time for backoff.
        async fn go_on(&mut self) {
            let while_time_passes = tokio::time::sleep(std::time::Duration::from_secs(30));
            tokio::select! {
                () = &mut self.following => unreachable!("nobody stops it"),
                () = while_time_passes => {}
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_is_waited_for_until_it_is_ready() {
        let mut controller = Controller::new();
        let progress = Arc::clone(&controller.progress);
        let key = key();
        let mut seen = Vec::new();
        let arrival = progress.arrival(&key, "u1", |state| seen.push(state.reason.clone()));
        let mut arrival = Box::pin(arrival);
        let changes = controller.connects();
        // Of a former life of the port.
        changes.unbounded_send(fares("u0", true, "")).unwrap();
        changes.unbounded_send(Change::Synced).unwrap();
        controller.go_on().await;
        assert!(arrival.as_mut().now_or_never().is_none());
        changes.unbounded_send(fares("u1", false, "Waiting")).unwrap();
        controller.go_on().await;
        assert!(arrival.as_mut().now_or_never().is_none());
        changes.unbounded_send(fares("u1", true, "")).unwrap();
        controller.go_on().await;
        let Some(Arrival::Ready(state)) = arrival.as_mut().now_or_never() else {
            panic!("it is ready")
        };
        assert_eq!(state.uid, "u1");
        drop(arrival);
        assert_eq!(seen, ["Waiting"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_became_ready_while_the_watch_was_broken_is_noticed() {
        let mut controller = Controller::new();
        let progress = Arc::clone(&controller.progress);
        let key = key();
        let mut arrival = Box::pin(progress.arrival(&key, "u1", |_| {}));
        let changes = controller.connects();
        changes.unbounded_send(fares("u1", false, "Waiting")).unwrap();
        changes.unbounded_send(Change::Synced).unwrap();
        controller.go_on().await;
        assert!(arrival.as_mut().now_or_never().is_none());
        drop(changes);
        controller.go_on().await;
        assert!(arrival.as_mut().now_or_never().is_none());
        let changes = controller.connects();
        changes.unbounded_send(fares("u1", true, "")).unwrap();
        changes.unbounded_send(Change::Synced).unwrap();
        controller.go_on().await;
        assert!(matches!(arrival.as_mut().now_or_never(), Some(Arrival::Ready(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_goes_is_not_waited_for() {
        let ends = [
            (fares("u1", false, DELETING), Arrival::Gone),
            (Change::Gone(key()), Arrival::Gone),
            // Another sandbox of the pod has it.
            (fares("u2", true, ""), Arrival::Replaced),
        ];
        for (end, expected) in ends {
            let mut controller = Controller::new();
            let progress = Arc::clone(&controller.progress);
            let key = key();
            let mut arrival = Box::pin(progress.arrival(&key, "u1", |_| {}));
            let changes = controller.connects();
            changes.unbounded_send(fares("u1", false, "Waiting")).unwrap();
            changes.unbounded_send(Change::Synced).unwrap();
            controller.go_on().await;
            assert!(arrival.as_mut().now_or_never().is_none());
            changes.unbounded_send(end).unwrap();
            controller.go_on().await;
            assert_eq!(arrival.as_mut().now_or_never(), Some(expected));
        }
    }
}
