//! What is seen of custom resources, and what that says of the objects that they were made of.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::manifests::{Custom, version};
use crate::downstream::{Given, ObjectKey, ObjectState};

/// Which custom resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct ResourceId {
    kind: String,
    name: String,
}

/// What is seen of a custom resource.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) id: ResourceId,
    /// What Kubernetes calls the resource, for life.
    life: String,
    /// Counts the changes of its specification.
    generation: i64,
    /// The version of the object that it was made for.
    made_for: Option<(String, i64)>,
    /// How many resources were made of the object.
    parts: usize,
    /// Why it is not as wanted; nothing: it is.
    problem: Option<(String, String)>,
}

/// The specifications that this process has applied, or compared with what is wanted: by that it
/// sees whether another has changed them. Bounded by the number of custom resources.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    known: Mutex<HashMap<ResourceId, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    life: String,
    generation: i64,
    has_drifted: bool,
}

impl ResourceId {
    pub(super) fn of<K: Custom>(resource: &K) -> Self {
        let name = resource.meta().name.clone().unwrap_or_default();
        Self { kind: K::kind(&()).into_owned(), name }
    }
}

impl Observation {
    /// What is seen of a resource, and the object that it was made of.
    pub(super) fn of<K: Custom>(resource: &K) -> (Option<ObjectKey>, Self) {
        let meta = resource.meta();
        let made = version(resource);
        let observation = Self {
            id: ResourceId::of(resource),
            life: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            made_for: made.map(|(uid, generation, _)| (uid.to_owned(), generation)),
            parts: made.map_or(1, |(_, _, parts)| parts),
            problem: problem(resource),
        };
        (resource.object(), observation)
    }
}

/// Why a resource is not as wanted.
fn problem<K: Custom>(resource: &K) -> Option<(String, String)> {
    let meta = resource.meta();
    let id = || format!("{} {}", K::kind(&()), meta.name.as_deref().unwrap_or_default());
    if meta.deletion_timestamp.is_some() {
        return Some(("Deleting".to_owned(), format!("{} is being deleted", id())));
    }
    let ready = resource.conditions().iter().find(|condition| condition.type_ == "Ready");
    match ready {
        // What is said of a former specification says nothing of this one.
        Some(ready) if ready.observed_generation == meta.generation => {
            let is_ready = ready.status == "True";
            (!is_ready).then(|| (ready.reason.clone(), format!("{}: {}", id(), ready.message)))
        }
        _ => {
            let message = format!("{}: the operator has not looked at it yet", id());
            Some(("Pending".to_owned(), message))
        }
    }
}

impl Acknowledged {
    /// Notes that a resource has the wanted specification, or that others have changed it.
    pub(super) fn note<K: Custom>(&self, resource: &K, has_drifted: bool) -> Observation {
        let (_, observation) = Observation::of(resource);
        let (life, generation) = (observation.life.clone(), observation.generation);
        let known = Known { life, generation, has_drifted };
        self.lock().insert(observation.id.clone(), known);
        observation
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&self, id: &ResourceId) {
        self.lock().remove(id);
    }

    /// How an object fares of which these resources were made. It has no version, and so is applied
    /// again, if one is missing, was made for another version, or may have been changed by others.
    pub(super) fn state<'a>(
        &self,
        observations: impl Iterator<Item = &'a Observation> + Clone,
    ) -> ObjectState {
        let known = self.lock();
        let mut drift = None;
        let mut version = observations.clone().next().and_then(|first| first.made_for.clone());
        let parts = observations.clone().count();
        let mut problem = None;
        for observation in observations {
            let is_whole = observation.parts == parts && observation.made_for == version;
            let acknowledged = known.get(&observation.id).filter(|known| {
                known.life == observation.life && observation.generation <= known.generation
            });
            if !is_whole || acknowledged.is_none() {
                version = None;
            }
            if acknowledged.is_some_and(|known| known.has_drifted) {
                let ResourceId { kind, name } = &observation.id;
                drift =
                    Some(("Drifted".to_owned(), format!("{kind} {name} was changed by others")));
            }
            problem = problem.or_else(|| observation.problem.clone());
        }
        let (uid, generation) = version.unwrap_or_default();
        let problem = drift.or(problem);
        let ready = problem.is_none();
        let (reason, message) = problem.unwrap_or_default();
        ObjectState { uid, generation, ready, reason, message, given: Given::Nothing }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ResourceId, Known>> {
        // No code that holds the lock can leave it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
