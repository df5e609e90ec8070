//! From the plan to the slice-manager, and from it to the statuses of resources.

mod network;
mod overlay;
mod profile;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{Client, Resource};
use l2sces_kubernetes::{Failure, Problem, Publisher, Reference, conditions};
use l2sces_model::Name;
use l2sces_proto::slice::v1 as api;
use l2sces_reconcile::{Outcome, Queue};
use l2sces_watch::{News, follow};

use crate::{
    caches::{Caches, Changed},
    manager::{SERVICE, SliceManager},
    plan::{Plan, recorded_network, recorded_slice},
};

/// How many keys are reconciled at once. They mostly wait, for the slice-manager.
const WORKERS: usize = 16;

/// When to look again at what waits: whoever can tell earlier wakes the key.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What is reconciled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// The plan: what all resources come to.
    Plan,
    Overlay(Reference),
    Network(Reference),
    Profile(Reference),
}

/// What reconciling needs.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) publisher: Publisher,
    pub(crate) caches: Caches,
    pub(crate) manager: SliceManager,
    pub(crate) queue: Queue<Key>,
}

/// Reconciles.
pub(crate) struct Reconciler {
    client: Client,
    publisher: Publisher,
    caches: Caches,
    manager: SliceManager,
    queue: Queue<Key>,
    /// None until all resources are known.
    plan: Mutex<Option<Arc<Plan>>>,
}

impl Reconciler {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { client, publisher, caches, manager, queue } = parts;
        Self { client, publisher, caches, manager, queue, plan: Mutex::new(None) }
    }

    /// Reconciles what is woken, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let reconcile = |key: Key| {
            let reconciler = Arc::clone(&self);
            async move { reconciler.reconcile(key).await }
        };
        l2sces_reconcile::run(self.queue.clone(), WORKERS, reconcile).await;
    }

    /// Keeps what is known of the slice-manager up to date, for ever.
    pub(crate) async fn follow(&self) {
        let SliceManager { clusters, slices, networks, .. } = &self.manager;
        let clusters = follow(
            SERVICE,
            clusters,
            async || self.manager.watch_clusters().await,
            |news| self.take_note(news, |name| self.resources_with(name)),
        );
        let slices = follow(
            SERVICE,
            &slices.board,
            async || slices.watch().await,
            |news| self.take_note(news, |name| self.resources_of(name)),
        );
        let networks = follow(
            SERVICE,
            &networks.board,
            async || networks.watch().await,
            |news| self.take_note(news, |key| self.resources_of(&key.slice)),
        );
        tokio::join!(clusters, slices, networks);
    }

    async fn reconcile(&self, key: Key) -> Result<Outcome, Failure> {
        if key == Key::Plan {
            self.make_plan();
            return Ok(Outcome::Done);
        }
        // Before there is one, everything would look unwanted; and a slice-manager that is only restarted
        // would be told of as away. Whatever comes of that wakes everything.
        let Some(plan) = self.plan().filter(|_| !self.manager.is_in_doubt()) else {
            return Ok(Outcome::Done);
        };
        let result = match &key {
            Key::Plan => Ok(()),
            Key::Overlay(reference) => self.overlay(&plan, reference).await,
            Key::Network(reference) => self.network(&plan, reference).await,
            Key::Profile(reference) => self.profile(reference).await,
        };
        match result {
            // Its status says so.
            Err(Failure::Service(trouble)) if trouble.is_waiting => Ok(Outcome::After(LOOK_AGAIN)),
            other => other.map(|()| Outcome::Done),
        }
    }

    /// The plan; nothing: not everything is known yet.
    fn plan(&self) -> Option<Arc<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the plan anew, when all resources are known, and wakes everything that is planned
    /// otherwise than before.
    fn make_plan(&self) {
        if !self.caches.are_ready() {
            return;
        }
        let plan = Arc::new(Plan::of(&self.caches.snapshot()));
        let before =
            self.plan.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(&plan));
        match before {
            Some(before) => self.wake(differences(&before, &plan)),
            None => self.wake(self.resources()),
        }
    }

    /// Takes note of news about objects of the slice-manager, which some resources depend on.
    fn take_note<K>(&self, news: News<K>, dependents: impl Fn(&K) -> Vec<Key>) {
        match news {
            News::Lost | News::Synced(_) => self.wake(self.resources()),
            News::Changed(key) | News::Gone(key) => self.wake(dependents(&key)),
        }
    }

    fn wake(&self, keys: impl IntoIterator<Item = Key>) {
        keys.into_iter().for_each(|key| self.queue.wake(key));
    }

    /// The keys of all resources.
    fn resources(&self) -> Vec<Key> {
        let snapshot = self.caches.snapshot();
        let overlays = snapshot.overlays.iter().map(|it| Key::Overlay(Reference::to(&**it)));
        let networks = snapshot.networks.iter().map(|it| Key::Network(Reference::to(&**it)));
        let profiles = snapshot.profiles.iter().map(|it| Key::Profile(Reference::to(&**it)));
        overlays.chain(networks).chain(profiles).collect()
    }

    /// The keys of the resources that are a slice, or in it, or are to be; also of those that are being
    /// deleted, which are in no plan any more.
    fn resources_of(&self, slice: &Name) -> Vec<Key> {
        let Some(plan) = self.plan() else { return Vec::new() };
        let snapshot = self.caches.snapshot();
        let overlays = snapshot.overlays.iter().filter_map(|overlay| {
            let reference = Reference::to(&**overlay);
            let planned = plan.slices.get(&reference).and_then(|claim| claim.key.as_ref().ok());
            let is_it = recorded_slice(overlay).as_ref() == Some(slice) || planned == Some(slice);
            is_it.then_some(Key::Overlay(reference))
        });
        let networks = snapshot.networks.iter().filter_map(|network| {
            let reference = Reference::to(&**network);
            let planned = plan.networks.get(&reference).and_then(|claim| claim.key.as_ref().ok());
            let recorded = recorded_network(network);
            let is_in = recorded.as_ref().or(planned).is_some_and(|key| key.slice == *slice);
            is_in.then_some(Key::Network(reference))
        });
        overlays.chain(networks).collect()
    }

    /// The keys of the resources that are to have a cluster.
    fn resources_with(&self, cluster: &Name) -> Vec<Key> {
        let Some(plan) = self.plan() else { return Vec::new() };
        let overlays = plan.slices.iter().filter_map(|(reference, claim)| {
            let clusters = &claim.wanted.as_ref().ok()?.clusters;
            let has_it = clusters.iter().any(|of_slice| of_slice.name == *cluster);
            has_it.then(|| Key::Overlay(reference.clone()))
        });
        let networks = plan.networks.iter().filter_map(|(reference, claim)| {
            let has_it = claim.wanted.as_ref().ok()?.clusters.contains(cluster);
            has_it.then(|| Key::Network(reference.clone()))
        });
        overlays.chain(networks).collect()
    }

    /// Those of some clusters that the slice-manager knows.
    fn clusters<'a>(
        &self,
        names: impl IntoIterator<Item = &'a Name>,
    ) -> BTreeMap<Name, api::Cluster> {
        let clusters = names.into_iter();
        clusters
            .filter_map(|name| Some((name.clone(), self.manager.clusters.state(name)?)))
            .collect()
    }
}

/// Who manages what is made for a resource, as the slice-manager is told.
fn managed_by<R: Resource<DynamicType = ()>>(resource: &R) -> String {
    let uid = resource.meta().uid.as_deref().unwrap_or_default();
    let Reference { namespace, name } = Reference::to(resource);
    format!("{}/{namespace}/{name}/{uid}", R::kind(&()))
}

/// How a resource fares, as one word.
fn phase(problem: Option<&Problem>) -> &'static str {
    match problem.map(|problem| problem.reason) {
        None => "Ready",
        Some(conditions::WAITING) => "Pending",
        Some("NotReady") => "NotReady",
        Some("Unreachable" | "Unknown") => "Unknown",
        Some(_) => "Failed",
    }
}

/// What is to be reconciled when a resource has changed.
pub(crate) fn keys_of(changed: Changed) -> impl Iterator<Item = Key> {
    let own = match changed {
        Changed::Listed => None,
        Changed::Overlay(reference) => Some(Key::Overlay(reference)),
        Changed::Network(reference) => Some(Key::Network(reference)),
        Changed::Profile(reference) => Some(Key::Profile(reference)),
    };
    own.into_iter().chain([Key::Plan])
}

/// What is planned otherwise than before.
fn differences(before: &Plan, after: &Plan) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    keys.extend(differing(&before.slices, &after.slices).map(Key::Overlay));
    keys.extend(differing(&before.networks, &after.networks).map(Key::Network));
    keys
}

fn differing<'a, V: PartialEq>(
    before: &'a BTreeMap<Reference, V>,
    after: &'a BTreeMap<Reference, V>,
) -> impl Iterator<Item = Reference> + 'a {
    before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key)).cloned()
}
