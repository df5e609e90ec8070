//! From the plan to the services, and from them to the statuses of resources.
//!
//! Two kinds of keys: nodes, slices and networks, as the services have them, are brought to what is
//! planned, or removed; resources get their finalizer, their status, and are let go when nothing
//! is left of them.

mod absences;
mod device;
mod l2_network;
mod links;
mod neighbors;
mod network;
mod node;
mod overlay;
mod slice;
mod troubles;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::Client;
use l2sces_kubernetes::{Failure, Publisher};
use l2sces_model::Name;
use l2sces_reconcile::{Outcome, Queue};

use self::{absences::Absences, neighbors::Neighbors, troubles::Troubles};
use crate::{
    caches::{Caches, Changed},
    plan::{NetworkKey, Plan, Reference},
    services::{Fabric, News, ObjectKey, Sco, Trouble},
};

/// How many keys are reconciled at once. They mostly wait, for services.
const WORKERS: usize = 16;

/// When to look again at what a service is busy with: whoever can tell earlier wakes the key.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What is reconciled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// The plan: what all resources come to.
    Plan,
    /// A node, and a gateway on it.
    Node(Name),
    Slice(Name),
    Network(NetworkKey),
    Overlay(Reference),
    Device(Reference),
    L2Network(Reference),
}

/// What reconciling needs.
pub(crate) struct Parts {
    pub(crate) cluster: Name,
    pub(crate) agents: AgentEndpoints,
    pub(crate) client: Client,
    pub(crate) publisher: Publisher,
    pub(crate) caches: Caches,
    pub(crate) fabric: Fabric,
    pub(crate) sco: Sco,
    pub(crate) queue: Queue<Key>,
}

/// Reconciles.
pub(crate) struct Reconciler {
    cluster: Name,
    agents: AgentEndpoints,
    client: Client,
    publisher: Publisher,
    caches: Caches,
    pub(crate) fabric: Fabric,
    pub(crate) sco: Sco,
    queue: Queue<Key>,
    /// None until all resources are known.
    plan: Mutex<Option<Arc<Plan>>>,
    absences: Absences,
    neighbors: Neighbors,
    troubles: Troubles,
}

/// How agents are reached on the addresses of their nodes: their ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentEndpoints {
    pub(crate) sps_agent: u16,
    pub(crate) ned_agent: u16,
    /// Whether they are called without TLS.
    pub(crate) plaintext: bool,
}

impl Reconciler {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { cluster, agents, client, publisher, caches, fabric, sco, queue } = parts;
        Self {
            cluster,
            agents,
            client,
            publisher,
            caches,
            fabric,
            sco,
            queue,
            plan: Mutex::new(None),
            absences: Absences::default(),
            neighbors: Neighbors::default(),
            troubles: Troubles::default(),
        }
    }

    /// Reconciles what is woken, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let reconcile = |key: Key| {
            let reconciler = Arc::clone(&self);
            async move { reconciler.reconcile(key).await }
        };
        l2sces_reconcile::run(self.queue.clone(), WORKERS, reconcile).await;
    }

    async fn reconcile(&self, key: Key) -> Result<Outcome, Failure> {
        if key == Key::Plan {
            self.make_plan();
            return Ok(Outcome::Done);
        }
        // Before that everything would look unwanted.
        let Some(plan) = self.plan() else { return Ok(Outcome::Done) };
        let result = match &key {
            Key::Plan => return Ok(Outcome::Done),
            Key::Node(name) => self.node(&plan, name).await.map(|()| Outcome::Done),
            Key::Slice(name) => self.slice(&plan, name).await,
            Key::Network(network) => self.network(&plan, network).await.map(|()| Outcome::Done),
            // A service that is only restarted is not worth telling; whatever comes of it wakes these.
            Key::Overlay(_) | Key::Device(_) | Key::L2Network(_) if self.is_in_doubt() => {
                return Ok(Outcome::Done);
            }
            Key::Overlay(reference) => return self.overlay(&plan, reference).await,
            Key::Device(reference) => return self.device(&plan, reference).await,
            Key::L2Network(reference) => return self.l2_network(&plan, reference).await,
        };
        self.note(&plan, &key, result.as_ref().err());
        match result {
            // Nothing is wrong: it only takes its time.
            Err(Failure::Service(trouble)) if trouble.is_waiting => {
                tracing::debug!(%trouble, "waiting");
                Ok(Outcome::After(LOOK_AGAIN))
            }
            ended => ended,
        }
    }

    /// Whether it is open if one of the services is there.
    fn is_in_doubt(&self) -> bool {
        self.fabric.board.is_in_doubt() || self.sco.board.is_in_doubt()
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
        let plan = Arc::new(Plan::of(&self.cluster, &self.caches.snapshot()));
        let before =
            self.plan.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(&plan));
        match before {
            Some(before) => self.wake(differences(&before, &plan)),
            None => self.look_at_everything(),
        }
    }

    /// Wakes everything that is planned, and everything that there is.
    pub(crate) fn look_at_everything(&self) {
        let Some(plan) = self.plan() else { return };
        self.wake(differences(&Plan::default(), &plan));
        // What is there and unwanted.
        self.wake(self.fabric.board.keys().iter().filter_map(object));
        self.wake(self.sco.board.keys().iter().filter_map(object));
        self.wake(self.resources());
    }

    /// Takes note of news about a service's objects.
    pub(crate) fn take_note(&self, news: News) {
        match news {
            News::Lost => self.wake(self.resources()),
            News::Synced(changed) => {
                self.wake(changed.iter().filter_map(object));
                // What failed for want of the service.
                self.wake(self.troubles.keys());
                self.wake(self.resources());
            }
            // How it fares is no reason to ask for it again: that would be told of in turn.
            News::Changed(key) => self.wake_dependents(&key),
            News::Gone(key) => {
                self.wake(object(&key));
                self.wake_dependents(&key);
            }
        }
    }

    fn wake_dependents(&self, key: &ObjectKey) {
        if let Some(plan) = self.plan() {
            self.wake(dependents(&plan, key));
        }
    }

    /// What went wrong with a node, slice or network when it was reconciled last.
    fn trouble(&self, key: &Key) -> Option<Trouble> {
        self.troubles.of(key)
    }

    /// Notes how reconciling ended, for the statuses of the resources concerned.
    fn note(&self, plan: &Plan, key: &Key, failure: Option<&Failure>) {
        let trouble = match failure {
            None => None,
            Some(Failure::Service(trouble)) => Some(trouble.clone()),
            Some(other) => {
                Some(Trouble { reason: "Failed", message: other.to_string(), is_waiting: false })
            }
        };
        if self.troubles.note(key, trouble, Instant::now()) {
            self.wake(resources_of(plan, key));
        }
    }

    fn wake(&self, keys: impl IntoIterator<Item = Key>) {
        keys.into_iter().for_each(|key| self.queue.wake(key));
    }

    /// The keys of all resources.
    fn resources(&self) -> Vec<Key> {
        let snapshot = self.caches.snapshot();
        let overlays = snapshot.overlays.iter().map(|it| Key::Overlay(Reference::to(&**it)));
        let devices = snapshot.devices.iter().map(|it| Key::Device(Reference::to(&**it)));
        let networks = snapshot.networks.iter().map(|it| Key::L2Network(Reference::to(&**it)));
        overlays.chain(devices).chain(networks).collect()
    }
}

/// What is to be reconciled when a resource has changed.
pub(crate) fn keys_of(changed: Changed) -> impl Iterator<Item = Key> {
    let own = match changed {
        Changed::Listed | Changed::Node => None,
        Changed::Overlay(reference) => Some(Key::Overlay(reference)),
        Changed::Device(reference) => Some(Key::Device(reference)),
        Changed::Network(reference) => Some(Key::L2Network(reference)),
    };
    own.into_iter().chain([Key::Plan])
}

/// The key by which an object of a service is reconciled.
fn object(key: &ObjectKey) -> Option<Key> {
    match key {
        ObjectKey::Node(name) | ObjectKey::Gateway(name) => Some(Key::Node(name.clone())),
        ObjectKey::Slice(name) => Some(Key::Slice(name.clone())),
        ObjectKey::Network(network) => Some(Key::Network(network.clone())),
        ObjectKey::Port(..) => None,
    }
}

/// The resources whose statuses tell of an object of a service.
fn dependents(plan: &Plan, key: &ObjectKey) -> Vec<Key> {
    match key {
        ObjectKey::Port(network, _) => resources_of(plan, &Key::Network(network.clone())),
        key => object(key).map(|key| resources_of(plan, &key)).unwrap_or_default(),
    }
}

/// The resources whose statuses tell of a node, slice or network.
fn resources_of(plan: &Plan, key: &Key) -> Vec<Key> {
    let claims = |wanted: &dyn Fn(&NetworkKey) -> bool| {
        let claims = plan.claims.iter().filter(|(_, claim)| wanted(&claim.key));
        claims.map(|(reference, _)| Key::L2Network(reference.clone())).collect::<Vec<_>>()
    };
    match key {
        // What is being deleted is in no plan any more, but waits for this.
        Key::Node(_) => {
            let overlays = plan.overlays.keys().cloned().map(Key::Overlay);
            overlays.chain(plan.devices.keys().cloned().map(Key::Device)).collect()
        }
        Key::Slice(name) => {
            let mut keys = claims(&|key| key.slice == *name);
            keys.extend(plan.devices.keys().cloned().map(Key::Device));
            keys
        }
        Key::Network(network) => {
            let mut keys = claims(&|key| key == network);
            keys.extend(plan.leaving.get(network).cloned().map(Key::L2Network));
            keys
        }
        Key::Plan | Key::Overlay(_) | Key::Device(_) | Key::L2Network(_) => Vec::new(),
    }
}

/// What is planned otherwise than before.
fn differences(before: &Plan, after: &Plan) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    keys.extend(differing(&before.nodes, &after.nodes).map(Key::Node));
    keys.extend(before.strays.symmetric_difference(&after.strays).cloned().map(Key::Node));
    keys.extend(differing(&before.slices, &after.slices).map(Key::Slice));
    keys.extend(differing(&before.networks, &after.networks).map(Key::Network));
    keys.extend(differing(&before.leaving, &after.leaving).map(Key::Network));
    keys.extend(differing(&before.overlays, &after.overlays).map(Key::Overlay));
    keys.extend(differing(&before.devices, &after.devices).map(Key::Device));
    keys.extend(differing(&before.claims, &after.claims).map(Key::L2Network));
    // A network waits for its slice, and its status tells of it.
    let slices: Vec<&Name> = keys
        .iter()
        .filter_map(|key| match key {
            Key::Slice(name) => Some(name),
            _ => None,
        })
        .collect();
    let networks = after.networks.iter().filter(|(key, _)| slices.contains(&&key.slice));
    let networks: Vec<Key> = networks
        .flat_map(|(key, network)| {
            [Key::Network(key.clone()), Key::L2Network(network.resource.clone())]
        })
        .collect();
    keys.extend(networks);
    keys
}

fn differing<'a, K: Ord + Clone, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = K> + 'a {
    before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_resources_that_are_gone_is_looked_at_when_an_operator_begins() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let network = NetworkKey { slice: name("p"), name: name("blue") };
        let resource = Reference { namespace: "bank".to_owned(), name: "blue".to_owned() };
        let plan = Plan {
            strays: BTreeSet::from([name("n1")]),
            leaving: BTreeMap::from([(network.clone(), resource.clone())]),
            ..Plan::default()
        };
        let begun = differences(&Plan::default(), &plan);
        assert_eq!(begun, BTreeSet::from([Key::Node(name("n1")), Key::Network(network.clone())]));
        assert_eq!(differences(&plan, &plan), BTreeSet::new());
        // Its status tells what it waits for.
        let network = Key::Network(network);
        assert_eq!(resources_of(&plan, &network), [Key::L2Network(resource)]);
    }
}
