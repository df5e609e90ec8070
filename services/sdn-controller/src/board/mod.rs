//! What is known of every object, and how it therefore fares; tells watchers of every change.
//!
//! In memory only: after a restart it is found out anew.

mod entry;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use l2sces_controller::Place;
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_trace::Caused;
use tokio::sync::broadcast;

use crate::{
    domain::{
        Addresses, Change, Condition, Key, Network, NetworkKey, Node, ObjectState, Port, PortKey,
        Slice, Version,
    },
    fabric::port_key,
};
pub(crate) use entry::{Fact, PortFacts};
use entry::{NetworkEntry, NodeEntry, PortEntry, SliceEntry, SwitchFact};

/// How many changes a watcher may lag behind before it is sent away.
const WATCHER_LAG: usize = 4096;

/// How all objects fare.
pub(crate) struct Board {
    entries: Mutex<Entries>,
    changes: broadcast::Sender<Caused<Change>>,
}

#[derive(Default)]
struct Entries {
    nodes: BTreeMap<Name, NodeEntry>,
    slices: BTreeMap<Name, SliceEntry>,
    networks: BTreeMap<NetworkKey, NetworkEntry>,
    ports: BTreeMap<PortKey, PortEntry>,
    /// The last that was told of each object.
    told: BTreeMap<Key, ObjectState>,
    nodes_by_switch: BTreeMap<DatapathId, Name>,
    networks_by_vni: BTreeMap<Vni, NetworkKey>,
    /// Behind which port an address of a network was learned.
    learned_at: BTreeMap<(NetworkKey, MacAddress), PortKey>,
}

impl Entries {
    fn put_node(&mut self, node: &Node) {
        let name = &node.spec.name;
        self.nodes_by_switch.insert(node.datapath_id, name.clone());
        self.nodes.entry(name.clone()).or_default().put(node);
    }

    fn put_slice(&mut self, slice: &Slice) {
        self.slices.entry(slice.spec.name.clone()).or_default().put(slice);
    }

    fn put_network(&mut self, network: &Network) {
        let key = &network.spec.key;
        self.networks_by_vni.insert(network.spec.vni, key.clone());
        self.networks.entry(key.clone()).or_default().put(network);
    }

    fn put_port(&mut self, port: &Port) {
        match self.ports.get_mut(&port.key) {
            Some(entry) => entry.put(port),
            None => {
                self.ports.insert(port.key.clone(), PortEntry::new(port));
            }
        }
    }

    /// Where a port is, for people.
    fn place(&self, key: &PortKey) -> Option<String> {
        let entry = self.ports.get(key)?;
        Some(format!("at port {key} on node {}", entry.node))
    }

    /// Takes note that nothing is learned at a port. What another has learned since stays there.
    fn forget_learned(&mut self, key: &PortKey) {
        let addresses = self.ports.get(key).and_then(|entry| entry.facts.addresses.as_ref());
        for mac in addresses.iter().flat_map(|addresses| &addresses.learned) {
            let address = (key.network_key(), *mac);
            if self.learned_at.get(&address) == Some(key) {
                self.learned_at.remove(&address);
            }
        }
    }
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::default(), changes: broadcast::Sender::new(WATCHER_LAG) }
    }

    /// How everything fares now, and every change from now on.
    pub(crate) fn watch(&self) -> (Vec<ObjectState>, broadcast::Receiver<Caused<Change>>) {
        // Changes are sent under this lock: none is lost or told twice.
        let entries = self.lock();
        (entries.told.values().cloned().collect(), self.changes.subscribe())
    }

    /// How an object fares.
    pub(crate) fn state(&self, key: &Key) -> Option<ObjectState> {
        self.lock().told.get(key).cloned()
    }

    /// Takes note of a node as it is stored.
    pub(crate) fn put_node(&self, node: &Node) {
        let mut entries = self.lock();
        entries.put_node(node);
        self.tell(&mut entries, Key::Node(node.spec.name.clone()));
    }

    /// Takes note of a slice as it is stored.
    pub(crate) fn put_slice(&self, slice: &Slice) {
        let mut entries = self.lock();
        entries.put_slice(slice);
        self.tell(&mut entries, Key::Slice(slice.spec.name.clone()));
    }

    /// Takes note of a network as it is stored.
    pub(crate) fn put_network(&self, network: &Network) {
        let mut entries = self.lock();
        entries.put_network(network);
        self.tell(&mut entries, Key::Network(network.spec.key.clone()));
    }

    /// Takes note of a port as it is stored.
    pub(crate) fn put_port(&self, port: &Port) {
        let mut entries = self.lock();
        entries.put_port(port);
        self.tell(&mut entries, Key::Port(port.key.clone()));
    }

    /// Takes note of a node as a call has stored it. One that is to be removed may be gone by now, and
    /// nobody would take it away again.
    pub(crate) fn note_node(&self, node: &Node) {
        let mut entries = self.lock();
        if node.deleting && !entries.nodes.contains_key(&node.spec.name) {
            return;
        }
        entries.put_node(node);
        self.tell(&mut entries, Key::Node(node.spec.name.clone()));
    }

    /// The same of a slice.
    pub(crate) fn note_slice(&self, slice: &Slice) {
        let mut entries = self.lock();
        if slice.deleting && !entries.slices.contains_key(&slice.spec.name) {
            return;
        }
        entries.put_slice(slice);
        self.tell(&mut entries, Key::Slice(slice.spec.name.clone()));
    }

    /// The same of a network.
    pub(crate) fn note_network(&self, network: &Network) {
        let mut entries = self.lock();
        if network.deleting && !entries.networks.contains_key(&network.spec.key) {
            return;
        }
        entries.put_network(network);
        self.tell(&mut entries, Key::Network(network.spec.key.clone()));
    }

    /// The same of a port.
    pub(crate) fn note_port(&self, port: &Port) {
        let mut entries = self.lock();
        if port.deleting && !entries.ports.contains_key(&port.key) {
            return;
        }
        entries.put_port(port);
        self.tell(&mut entries, Key::Port(port.key.clone()));
    }

    /// Takes note that nothing is left of an object of this version. Another version under its
    /// name is a new life of it, and stays.
    pub(crate) fn remove(&self, key: &Key, version: &Version) {
        let mut entries = self.lock();
        if entries.told.get(key).is_none_or(|state| state.version != *version) {
            return;
        }
        match key {
            Key::Node(name) => {
                entries.nodes.remove(name);
                entries.nodes_by_switch.retain(|_, node| node != name);
            }
            Key::Slice(name) => {
                entries.slices.remove(name);
            }
            Key::Network(key) => {
                entries.networks.remove(key);
                entries.networks_by_vni.retain(|_, network| network != key);
            }
            Key::Port(key) => {
                entries.forget_learned(key);
                entries.ports.remove(key);
            }
        }
        entries.told.remove(key);
        // No receiver is no failure.
        let deleted = Change::Deleted { key: key.clone(), version: version.clone() };
        let _ = self.changes.send(Caused::now(deleted));
    }

    /// Whether a node is to be removed.
    pub(crate) fn is_going(&self, node: &Name) -> bool {
        self.lock().nodes.get(node).is_some_and(NodeEntry::is_going)
    }

    /// Takes note of what a node's agent made of its bridge; answers whether it had made it before.
    pub(crate) fn set_agent(&self, node: &Name, fact: Fact<()>) -> bool {
        let mut had_made = false;
        self.change_node(node, |entry| {
            had_made = entry.agent == Fact::Done(());
            entry.agent = fact;
        });
        had_made
    }

    /// Takes note of whether a switch is connected and as wanted, or why not.
    pub(crate) fn set_switch(&self, id: DatapathId, state: Result<(), String>) {
        let Some(node) = self.lock().nodes_by_switch.get(&id).cloned() else { return };
        self.change_node(&node, |entry| {
            entry.switch = match state {
                Ok(()) => SwitchFact::Ready,
                Err(reason) => SwitchFact::Down(reason),
            };
        });
    }

    /// Whether a node's switch has, or may have, flows of before: it has not connected since the
    /// controller started, or there is news to come of it. One that is not connected cannot be
    /// waited for.
    pub(crate) fn may_follow(&self, node: &Name) -> bool {
        let entries = self.lock();
        entries.nodes.get(node).is_some_and(|entry| matches!(entry.switch, SwitchFact::Unknown))
    }

    fn change_node(&self, node: &Name, change: impl FnOnce(&mut NodeEntry)) {
        let mut entries = self.lock();
        let Some(entry) = entries.nodes.get_mut(node) else { return };
        change(entry);
        self.tell(&mut entries, Key::Node(node.clone()));
        // A port that is not live says why by its switch.
        let on_node = entries.ports.iter().filter(|(_, port)| port.waits_on(node));
        let keys: Vec<PortKey> = on_node.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.tell(&mut entries, Key::Port(key));
        }
    }

    /// Takes note of the state of a slice's links.
    pub(crate) fn set_slice(&self, name: &Name, condition: Condition) {
        let mut entries = self.lock();
        let Some(entry) = entries.slices.get_mut(name) else { return };
        entry.links = condition.into();
        self.tell(&mut entries, Key::Slice(name.clone()));
    }

    /// Takes note of the state of a network's flows.
    pub(crate) fn set_network(&self, vni: Vni, condition: Condition) {
        let mut entries = self.lock();
        let Some(key) = entries.networks_by_vni.get(&vni).cloned() else { return };
        let Some(entry) = entries.networks.get_mut(&key) else { return };
        entry.flows = condition.into();
        self.tell(&mut entries, Key::Network(key));
    }

    /// Whether a port is to exist.
    pub(crate) fn wants_port(&self, key: &PortKey) -> bool {
        self.lock().ports.get(key).is_some_and(|entry| !entry.deleting)
    }

    /// Whether a port is to exist on this node.
    pub(crate) fn wants_port_on(&self, key: &PortKey, node: &Name) -> bool {
        let entries = self.lock();
        entries.ports.get(key).is_some_and(|entry| !entry.deleting && entry.node == *node)
    }

    /// What is known of a port.
    pub(crate) fn port_facts(&self, key: &PortKey) -> Option<PortFacts> {
        self.lock().ports.get(key).map(|entry| entry.facts.clone())
    }

    /// Takes note of something about a port.
    pub(crate) fn change_port(&self, key: &PortKey, change: impl FnOnce(&mut PortFacts)) {
        let mut entries = self.lock();
        let Some(entry) = entries.ports.get_mut(key) else { return };
        change(&mut entry.facts);
        self.tell(&mut entries, Key::Port(key.clone()));
    }

    /// Takes note of what the engine sees behind a port.
    pub(crate) fn set_addresses(
        &self,
        key: &PortKey,
        learned: BTreeSet<MacAddress>,
        conflicts: &BTreeMap<MacAddress, Place>,
    ) {
        let mut entries = self.lock();
        let Some(here) = entries.place(key) else { return };
        let conflict = |(mac, place): (&MacAddress, &Place)| {
            let there = match place {
                Place::Region(cluster) => Some(format!("in cluster {cluster}")),
                Place::Port(id) => port_key(id).and_then(|key| entries.place(&key)),
            };
            let there = there.unwrap_or_else(|| "at a port that has gone".to_owned());
            (*mac, format!("{mac} is {there}, and frames from it come {here} too"))
        };
        let conflicts = conflicts.iter().map(conflict).collect();
        entries.forget_learned(key);
        for mac in &learned {
            entries.learned_at.insert((key.network_key(), *mac), key.clone());
        }
        if let Some(entry) = entries.ports.get_mut(key) {
            entry.facts.addresses = Some(Addresses { learned, conflicts });
        }
        self.tell(&mut entries, Key::Port(key.clone()));
    }

    /// Takes note that an address of a network is in another cluster now; answers with the port
    /// that it was learned at. To be called before the engine forgets it: it may be seen here again
    /// right after, which is news then.
    pub(crate) fn move_away(&self, vni: Vni, mac: MacAddress) -> Option<PortKey> {
        let mut entries = self.lock();
        let network = entries.networks_by_vni.get(&vni)?.clone();
        let key = entries.learned_at.remove(&(network, mac))?;
        let facts = &mut entries.ports.get_mut(&key)?.facts;
        facts.addresses.as_mut()?.learned.remove(&mac);
        facts.doubt();
        self.tell(&mut entries, Key::Port(key.clone()));
        Some(key)
    }

    /// Behind which port an address of a network was learned.
    pub(crate) fn learned_at(&self, network: NetworkKey, mac: MacAddress) -> Option<PortKey> {
        self.lock().learned_at.get(&(network, mac)).cloned()
    }

    /// The ports of a node.
    pub(crate) fn ports_on(&self, node: &Name) -> Vec<PortKey> {
        let entries = self.lock();
        let on_node = entries.ports.iter().filter(|(_, entry)| entry.node == *node);
        on_node.map(|(key, _)| key.clone()).collect()
    }

    /// The ports of which the other clusters may know something else than what is.
    pub(crate) fn unannounced_ports(&self) -> Vec<PortKey> {
        let entries = self.lock();
        let unannounced = entries.ports.iter().filter(|(_, entry)| entry.is_untold());
        unannounced.map(|(key, _)| key.clone()).collect()
    }

    /// Everything that is known of.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.lock().told.keys().cloned().collect()
    }

    /// Name of the node that a switch is on.
    pub(crate) fn node_of(&self, id: DatapathId) -> Option<Name> {
        self.lock().nodes_by_switch.get(&id).cloned()
    }

    /// Tells the watchers how an object fares, if they do not know.
    fn tell(&self, entries: &mut Entries, key: Key) {
        let state = match &key {
            Key::Node(name) => entries.nodes.get(name).and_then(|entry| entry.state(name)),
            Key::Slice(name) => entries.slices.get(name).and_then(|entry| entry.state(name)),
            Key::Network(key) => entries.networks.get(key).and_then(|entry| entry.state(key)),
            Key::Port(key) => {
                entries.ports.get(key).map(|entry| entry.state(key, entries.nodes.get(&entry.node)))
            }
        };
        let Some(state) = state else { return };
        if entries.told.get(&key) == Some(&state) {
            return;
        }
        entries.told.insert(key, state.clone());
        // No receiver is no failure.
        let _ = self.changes.send(Caused::now(Change::Put(state)));
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> From<Condition> for Fact<T> {
    fn from(condition: Condition) -> Self {
        match condition {
            Ok(()) => Self::Done(T::default()),
            Err(trouble) => Self::Failed(trouble),
        }
    }
}

#[cfg(test)]
mod tests;
