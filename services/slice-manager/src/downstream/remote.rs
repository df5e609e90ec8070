use std::{fmt::Debug, pin::Pin, sync::Arc};

use futures::Stream;
use l2sces_trace::Caused;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::{
    ObjectKey, ObjectState, Target, Trouble, Version,
    observed::{Health, Observed},
    watch,
};
use crate::{signals::Signals, store::Store};

/// Most calls to one service at a time.
const MAX_CALLS: usize = 64;

/// What a service's watch tells.
#[derive(Debug)]
pub enum StateChange {
    /// An object fares like this.
    Put(ObjectKey, Box<ObjectState>),
    /// An object is gone.
    Gone(ObjectKey),
    /// Every object that exists has been told.
    Synced,
}

/// What a service's watch tells, and why, until it breaks.
pub type StateStream = Pin<Box<dyn Stream<Item = Result<Caused<StateChange>, Status>> + Send>>;

/// A service's API.
pub trait Service: Clone + Debug + Send + Sync + 'static {
    /// An object as the service takes it.
    type Body: Clone + Debug + Send + Sync;

    /// Stores an object; how it fares.
    fn apply(&self, body: Self::Body) -> impl Future<Output = Result<ObjectState, Status>> + Send;

    /// Removes an object, with `force` without waiting for what it is made of; whether nothing of
    /// it is left.
    fn delete(
        &self,
        key: &ObjectKey,
        force: bool,
    ) -> impl Future<Output = Result<bool, Status>> + Send;

    /// Begins to tell how objects fare.
    fn watch(&self) -> impl Future<Output = Result<StateStream, Status>> + Send;

    /// The service for people, such as "the sco-provider".
    fn describe(&self, target: &Target) -> String {
        target.service()
    }
}

/// A service, and what is known of its objects. Cheap to clone; with the last clone the watch ends.
#[derive(Clone, Debug)]
pub struct Remote<S> {
    shared: Arc<Shared<S>>,
    _watch: Arc<AbortOnDropHandle<()>>,
}

/// What the watch and the callers share.
#[derive(Debug)]
pub(super) struct Shared<S> {
    pub(super) target: Target,
    pub(super) service: S,
    pub(super) observed: Observed,
    /// Calls got no answer: the watch may be dead too.
    pub(super) suspect: Notify,
    pub(super) signals: Signals,
    pub(super) store: Store,
    calls: Semaphore,
}

/// An object that its service has.
#[derive(Clone, Debug)]
pub struct Applied {
    /// How it fares.
    pub state: ObjectState,
    /// It had to be sent: whatever waited for it can go on.
    pub sent: bool,
}

impl<S: Service> Remote<S> {
    /// A service whose objects are watched from now on.
    pub(super) fn new(target: Target, service: S, signals: Signals, store: Store) -> Self {
        let shared = Arc::new(Shared {
            target,
            service,
            observed: Observed::new(),
            suspect: Notify::new(),
            signals,
            store,
            calls: Semaphore::new(MAX_CALLS),
        });
        let watch = tokio::spawn(watch::follow_for_ever(Arc::clone(&shared)));
        Self { shared, _watch: Arc::new(AbortOnDropHandle::new(watch)) }
    }

    /// The last known state of an object; nothing: the service has none, as far as is known.
    pub fn state(&self, key: &ObjectKey) -> Option<ObjectState> {
        self.shared.observed.state(key)
    }

    /// Makes sure that the service has this version of an object. Calls it only if it is not known
    /// to: whoever is woken for nothing costs no call.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn apply(
        &self,
        key: ObjectKey,
        version: &Version,
        body: S::Body,
    ) -> Result<Applied, Trouble> {
        self.check_health_for(&key)?;
        if let Some(state) = self.shared.observed.covering(&key, version) {
            return Ok(Applied { state, sent: false });
        }
        let state = self.call(&key, self.shared.service.apply(body)).await?;
        let state = self.shared.observed.answered(key, state);
        Ok(Applied { state, sent: true })
    }

    /// Has the service remove an object, with `force` without waiting for what it is made of;
    /// whether nothing of it is left.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn delete(&self, key: &ObjectKey, force: bool) -> Result<bool, Trouble> {
        self.check_health_for(key)?;
        let gone = self.call(key, self.shared.service.delete(key, force)).await?;
        if gone {
            self.shared.observed.told(key.clone(), None);
        }
        Ok(gone)
    }

    /// Whether the service is there. A call to one that is away would only keep a worker busy until
    /// its deadline; the watch tries all the time, and wakes everyone when it is back.
    ///
    /// # Errors
    /// It is not.
    pub fn check_health(&self) -> Result<(), Trouble> {
        self.judge(self.shared.observed.health())
    }

    /// The same for somebody who asks about an object, and is woken when that is known.
    ///
    /// # Errors
    /// It is not there.
    pub fn check_health_for(&self, key: &ObjectKey) -> Result<(), Trouble> {
        self.judge(self.shared.observed.health_for(key))
    }

    fn judge(&self, health: Health) -> Result<(), Trouble> {
        match health {
            Health::Synced => Ok(()),
            Health::Connecting(_) => Err(Trouble::Connecting),
            Health::Unreachable(why) => {
                let service = self.shared.service.describe(&self.shared.target);
                Err(Trouble::Unreachable { service, why })
            }
        }
    }

    async fn call<T>(
        &self,
        key: &ObjectKey,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Trouble> {
        // The semaphore is never closed; and if it were, the calls would only be unlimited.
        let _permit = self.shared.calls.acquire().await.ok();
        // While this one waited, others may have found out that nobody answers.
        self.check_health_for(key)?;
        match call.await {
            Ok(answer) => Ok(answer),
            Err(status) => {
                if status.code() == Code::DeadlineExceeded {
                    self.shared.suspect.notify_one();
                }
                Err(Trouble::Refused(status))
            }
        }
    }
}
