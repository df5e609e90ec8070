//! How objects fare: what was wanted of each, what workers ran into, and what the switches say,
//! brought together into one state per object.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use l2sces_controller::{Event, PortId};
use l2sces_model::{DatapathId, Name};

use crate::{
    board::Board,
    domain::{Identity, ObjectKey, Version},
};

/// How many changes a watcher may fall behind.
const BACKLOG: usize = 16 * 1024;

/// How an object fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectState {
    /// The version that this speaks of.
    pub version: Version,
    /// What a network has been given.
    pub identity: Option<Identity>,
    /// Why it is not as wanted; `None`: it is.
    pub problem: Option<Problem>,
}

/// Why an object is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As one CamelCase word.
    pub reason: &'static str,
    /// As one sentence.
    pub message: String,
}

impl Problem {
    /// A problem with this reason and message.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Nothing is wrong, but not everything has been done yet.
    pub fn pending() -> Self {
        Self::new("Pending", "has not been carried out yet")
    }
}

/// Something that the switches have to say before an object is as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// A switch is connected, and has its flows.
    Switch(DatapathId),
    /// All links of a slice were seen to work.
    Links(Name),
    /// Frames pass a port.
    Port(PortId),
}

impl Fact {
    fn reason(&self) -> &'static str {
        match self {
            Self::Switch(_) => "SwitchNotReady",
            Self::Links(_) => "LinksNotReady",
            Self::Port(_) => "HandoffNotReady",
        }
    }
}

/// The states of all objects.
#[derive(Debug)]
pub struct StatusBoard {
    inner: Mutex<Inner>,
    board: Board<ObjectKey, ObjectState>,
}

/// As large as the set of objects: what nobody waits for is forgotten.
#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<ObjectKey, Object>,
    facts: HashMap<Fact, Observation>,
}

#[derive(Debug)]
struct Object {
    version: Version,
    identity: Option<Identity>,
    needs: Vec<Fact>,
    problem: Option<Problem>,
}

#[derive(Debug)]
struct Observation {
    waiting: ObjectKey,
    /// Why the fact does not hold; `None`: it does.
    problem: Option<Problem>,
}

impl Default for StatusBoard {
    fn default() -> Self {
        Self { inner: Mutex::default(), board: Board::new(BACKLOG) }
    }
}

impl StatusBoard {
    /// The states, for watchers.
    pub fn board(&self) -> &Board<ObjectKey, ObjectState> {
        &self.board
    }

    /// The state of an object, if it is known in this version.
    pub fn state(&self, key: &ObjectKey, version: &Version) -> Option<Arc<ObjectState>> {
        self.board.get(key).filter(|state| state.version == *version)
    }

    /// Says what is wanted of an object, and which facts must hold for it to be ready. Must come
    /// before the engine is told, or its first words are lost.
    pub fn expect(
        &self,
        key: &ObjectKey,
        version: &Version,
        identity: Option<Identity>,
        needs: Vec<Fact>,
    ) {
        let mut inner = self.lock();
        let former = inner.objects.remove(key);
        for fact in former.iter().flat_map(|object| &object.needs) {
            if !needs.contains(fact) {
                inner.facts.remove(fact);
            }
        }
        for fact in &needs {
            inner.facts.entry(fact.clone()).or_insert_with(|| Observation {
                waiting: key.clone(),
                problem: Some(Problem::pending()),
            });
        }
        // A new version has not been carried out until a worker says that it was.
        let problem = match former {
            Some(object) if object.version == *version => object.problem,
            _ => Some(Problem::pending()),
        };
        inner
            .objects
            .insert(key.clone(), Object { version: version.clone(), identity, needs, problem });
        self.show(&inner, key);
    }

    /// Says that an object is to go. It is shown until it is removed.
    pub fn expect_gone(&self, key: &ObjectKey, version: &Version, identity: Option<Identity>) {
        self.expect(key, version, identity, Vec::new());
        self.report(key, Some(Problem::new("Deleting", "is being deleted")));
    }

    /// Says what a worker ran into with an object; `None`: nothing, all was carried out.
    pub fn report(&self, key: &ObjectKey, problem: Option<Problem>) {
        let mut inner = self.lock();
        if let Some(object) = inner.objects.get_mut(key) {
            object.problem = problem;
            self.show(&inner, key);
        }
    }

    /// Takes note of what the switches say.
    pub fn observe(&self, event: Event) {
        let (fact, holds, message) = match event {
            Event::SwitchReady(id) => (Fact::Switch(id), true, String::new()),
            Event::SwitchDown { id, reason } => (Fact::Switch(id), false, reason),
            Event::SliceState { name, ready, message } => (Fact::Links(name), ready, message),
            Event::PortState { id, ready, message } => (Fact::Port(id), ready, message),
            // Said port by port, and slice by slice.
            Event::NetworkState { .. } | Event::LinksChanged => return,
            // No endpoint is at a switch between clusters.
            Event::PortAddresses { .. } => return,
        };
        let mut inner = self.lock();
        let reason = fact.reason();
        let Some(observation) = inner.facts.get_mut(&fact) else { return };
        observation.problem = (!holds).then(|| Problem::new(reason, message));
        let key = observation.waiting.clone();
        self.show(&inner, &key);
    }

    /// Forgets an object: nothing of it is left.
    pub fn remove(&self, key: &ObjectKey) {
        let mut inner = self.lock();
        for fact in inner.objects.remove(key).into_iter().flat_map(|object| object.needs) {
            inner.facts.remove(&fact);
        }
        self.board.remove(key);
    }

    fn show(&self, inner: &Inner, key: &ObjectKey) {
        if let Some(object) = inner.objects.get(key) {
            let unmet = object
                .needs
                .iter()
                .filter_map(|fact| inner.facts.get(fact))
                .find_map(|observation| observation.problem.clone());
            let state = ObjectState {
                version: object.version.clone(),
                identity: object.identity,
                problem: object.problem.clone().or(unmet),
            };
            self.board.put(key.clone(), state);
        }
    }

    /// Every method leaves the maps whole at every point where it could panic.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> (ObjectKey, Version) {
        let key =
            crate::domain::NetworkKey { slice: "s".parse().unwrap(), name: "n".parse().unwrap() };
        (ObjectKey::Network(key), Version { uid: "u".to_owned(), generation: 1 })
    }

    fn port_event(id: &str, ready: bool) -> Event {
        let message = if ready { String::new() } else { "no such interface".to_owned() };
        Event::PortState { id: PortId::from(id), ready, message }
    }

    fn reason(status: &StatusBoard, key: &ObjectKey) -> Option<&'static str> {
        status.board().get(key).unwrap().problem.as_ref().map(|problem| problem.reason)
    }

    #[test]
    fn an_object_is_ready_when_it_was_carried_out_and_all_its_facts_hold() {
        let status = StatusBoard::default();
        let (key, version) = network();
        let ports = ["a", "b"].map(|id| Fact::Port(PortId::from(id))).to_vec();
        status.expect(&key, &version, None, ports);
        status.observe(port_event("a", true));
        status.observe(port_event("b", true));
        assert_eq!(reason(&status, &key), Some("Pending"), "no worker has reported");
        status.report(&key, None);
        assert_eq!(reason(&status, &key), None);
        status.observe(port_event("b", false));
        assert_eq!(reason(&status, &key), Some("HandoffNotReady"));
        status.report(&key, Some(Problem::new("NoGateway", "cluster c has no gateway")));
        assert_eq!(reason(&status, &key), Some("NoGateway"));
    }

    #[test]
    fn what_was_observed_survives_a_new_generation() {
        let status = StatusBoard::default();
        let (key, version) = network();
        let needs = vec![Fact::Port(PortId::from("a"))];
        status.expect(&key, &version, None, needs.clone());
        status.report(&key, None);
        status.observe(port_event("a", true));
        let next = Version { generation: 2, ..version.clone() };
        status.expect(&key, &next, None, needs);
        assert_eq!(reason(&status, &key), Some("Pending"), "the new version is not carried out");
        status.report(&key, None);
        assert_eq!(reason(&status, &key), None);
        assert!(status.state(&key, &version).is_none(), "the state speaks of the newer version");
    }

    #[test]
    fn a_removed_object_leaves_nothing() {
        let status = StatusBoard::default();
        let (key, version) = network();
        status.expect(&key, &version, None, vec![Fact::Port(PortId::from("a"))]);
        status.remove(&key);
        status.observe(port_event("a", true));
        status.report(&key, None);
        assert!(status.board().get(&key).is_none());
        let inner = status.lock();
        assert!(inner.facts.is_empty() && inner.objects.is_empty());
    }
}
