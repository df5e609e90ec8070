//! What is seen of custom resources, and what that says of the objects that they were made of.

use std::{
    collections::{HashMap, HashSet},
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
    /// How many pods are attached to it, if that was said.
    attached_pods: Option<u32>,
}

/// The specifications that this process has applied, or compared with what is wanted: by that it
/// sees whether another has changed them. Bounded by the number of custom resources.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<ResourceId, Known>,
    /// What the watch has told last of each resource.
    seen: HashMap<ResourceId, Observation>,
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
            attached_pods: resource.attached_pods(),
        };
        (resource.object(), observation)
    }

    /// Whether both are of the same state of a resource, but for its status.
    fn is_like(&self, other: &Self) -> bool {
        let Self { id, life, generation, made_for, parts, problem: _, attached_pods: _ } = self;
        (id, life, generation) == (&other.id, &other.life, &other.generation)
            && (made_for, parts) == (&other.made_for, &other.parts)
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
        self.lock().known.insert(observation.id.clone(), known);
        observation
    }

    /// Notes what the watch tells of a resource.
    pub(super) fn see(&self, observation: &Observation) {
        self.lock().seen.insert(observation.id.clone(), observation.clone());
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&self, id: &ResourceId) {
        let mut inner = self.lock();
        inner.known.remove(id);
        inner.seen.remove(id);
    }

    /// Forgets those that a former watch has told of, and this one, which has told all, has not: they went
    /// while nobody watched.
    pub(super) fn forget_untold(&self, told: &HashSet<ResourceId>) {
        let mut inner = self.lock();
        let seen = std::mem::take(&mut inner.seen);
        let (kept, gone): (HashMap<_, _>, HashMap<_, _>) =
            seen.into_iter().partition(|(id, _)| told.contains(id));
        inner.seen = kept;
        inner.known.retain(|id, _| !gone.contains_key(id));
    }

    /// How an object fares of which these resources were made. It has no version, and so is applied
    /// again, if one is missing, was made for another version, or may have been changed by others.
    pub(super) fn state<'a>(
        &self,
        observations: impl Iterator<Item = &'a Observation> + Clone,
    ) -> ObjectState {
        let Inner { known, seen } = &*self.lock();
        let mut drift = None;
        let mut version = observations.clone().next().and_then(|first| first.made_for.clone());
        let parts = observations.clone().count();
        let mut problem = None;
        let mut given = Given::Nothing;
        for observation in observations {
            let is_whole = observation.parts == parts && observation.made_for == version;
            // Somebody may have changed it between the question and the answer, of which the watch has
            // told meanwhile: it is asked again.
            let is_outdated = seen.get(&observation.id).is_some_and(|seen| {
                seen.life == observation.life && seen.generation > observation.generation
            });
            let acknowledged = known.get(&observation.id).filter(|known| {
                known.life == observation.life
                    && observation.generation <= known.generation
                    && !is_outdated
            });
            if !is_whole || acknowledged.is_none() {
                version = None;
            }
            if acknowledged.is_some_and(|known| known.has_drifted) {
                let ResourceId { kind, name } = &observation.id;
                drift =
                    Some(("Drifted".to_owned(), format!("{kind} {name} was changed by others")));
            }
            // An answer may have been on its way while the watch told of another status, and nobody
            // tells that again.
            let latest = seen.get(&observation.id).filter(|seen| seen.is_like(observation));
            let latest = latest.unwrap_or(observation);
            problem = problem.or_else(|| latest.problem.clone());
            if let Some(attached) = latest.attached_pods {
                given = Given::Pods { attached };
            }
        }
        let (uid, generation) = version.unwrap_or_default();
        let problem = drift.or(problem);
        let ready = problem.is_none();
        let (reason, message) = problem.unwrap_or_default();
        ObjectState { uid, generation, ready, reason, message, given }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // No code that holds the lock can leave it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use l2sces_custom_resources::{L2Network, L2NetworkStatus};
    use serde_json::json;

    use super::*;

    fn network(generation: i64, observed: i64) -> L2Network {
        let mut network: L2Network = serde_json::from_value(json!({
            "apiVersion": "l2sm.l2sm.k8s.local/v1",
            "kind": "L2Network",
            "metadata": { "name": "n", "uid": "u", "generation": generation, "annotations": {
                "l2sces.l2sm.io/uid": "v",
                "l2sces.l2sm.io/generation": "1",
                "l2sces.l2sm.io/parts": "1",
            }},
            "spec": { "type": "vnet" },
        }))
        .unwrap();
        let condition = Condition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: "Ready".to_owned(),
            message: String::new(),
            observed_generation: Some(observed),
            last_transition_time: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
        };
        network.status =
            Some(L2NetworkStatus { conditions: vec![condition], ..L2NetworkStatus::default() });
        network
    }

    #[test]
    fn an_answer_does_not_undo_what_the_watch_told() {
        let acknowledged = Acknowledged::default();
        let told = |network: &L2Network| acknowledged.see(&Observation::of(network).1);
        told(&network(1, 1));
        let answered = acknowledged.note(&network(2, 1), false);
        assert!(!acknowledged.state([&answered].into_iter()).ready, "of a former specification");
        told(&network(2, 2));
        let state = acknowledged.state([&answered].into_iter());
        assert!(state.ready, "{state:?}");
        acknowledged.forget(&answered.id);
        assert!(!acknowledged.state([&answered].into_iter()).ready);
    }

    #[test]
    fn pods_are_those_that_the_watch_told_of() {
        let acknowledged = Acknowledged::default();
        let with_pods = |count| {
            let mut network = network(1, 1);
            network.status.get_or_insert_default().connected_pod_count = count;
            network
        };
        let given = |observation: &Observation| acknowledged.state([observation].into_iter()).given;
        let made = L2Network { status: None, ..network(1, 1) };
        assert_eq!(given(&Observation::of(&made).1), Given::Nothing, "nobody has counted them");
        let told = Observation::of(&with_pods(3)).1;
        acknowledged.see(&told);
        assert_eq!(given(&told), Given::Pods { attached: 3 });
        // The answer was on its way meanwhile.
        let answered = acknowledged.note(&with_pods(1), false);
        assert_eq!(given(&answered), Given::Pods { attached: 3 });
        assert_eq!(Observation::of(&with_pods(-1)).1.attached_pods, None);
    }

    #[test]
    fn an_answer_of_what_was_before_the_watch_told_is_asked_again() {
        let acknowledged = Acknowledged::default();
        acknowledged.see(&Observation::of(&network(2, 2)).1);
        let answered = acknowledged.note(&network(1, 1), true);
        let state = acknowledged.state([&answered].into_iter());
        assert!(state.uid.is_empty() && state.reason != "Drifted", "{state:?}");
        let answered = acknowledged.note(&network(2, 2), false);
        let state = acknowledged.state([&answered].into_iter());
        assert!(state.ready && !state.uid.is_empty(), "{state:?}");
    }

    #[test]
    fn what_went_while_nobody_watched_is_forgotten_and_what_was_just_made_is_not() {
        let acknowledged = Acknowledged::default();
        let size = || {
            let inner = acknowledged.lock();
            (inner.known.len(), inner.seen.len())
        };
        let made = acknowledged.note(&network(1, 1), false);
        acknowledged.forget_untold(&HashSet::new());
        assert_eq!(size(), (1, 0), "no watch has told of it yet");
        acknowledged.see(&made);
        acknowledged.forget_untold(&HashSet::from([made.id.clone()]));
        assert_eq!(size(), (1, 1));
        acknowledged.forget_untold(&HashSet::new());
        assert_eq!(size(), (0, 0));
    }
}
