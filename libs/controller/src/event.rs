//! What the engine tells its owner.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_fabric::{LinkEnd, PortId};
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_trace::{Caused, TraceContext};

/// A change of state. Every event but the last tells the whole state of its object, so that only the
/// latest of an object matters: when the owner lags, older ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The switch is connected, and its flows are as wanted.
    SwitchReady(DatapathId),
    /// The switch is not connected, or its flows are not as wanted.
    SwitchDown {
        /// Which.
        id: DatapathId,
        /// Why, in one sentence.
        reason: String,
    },
    /// A port's state.
    PortState {
        /// Which.
        id: PortId,
        /// Whether frames are delivered to and from it.
        ready: bool,
        /// Why not, in one sentence; empty when ready.
        message: String,
    },
    /// What is behind a port that may learn addresses, beside its own.
    PortAddresses {
        /// Which.
        id: PortId,
        /// The addresses that were learned from what it sent.
        learned: BTreeSet<MacAddress>,
        /// Addresses that it sent from too, but that are another's, and where.
        conflicts: BTreeMap<MacAddress, Place>,
    },
    /// A network's state.
    NetworkState {
        /// Which.
        vni: Vni,
        /// Whether its flows were confirmed once, and no switch that it needs has gone since. What
        /// changes with its ports, they tell themselves.
        ready: bool,
        /// Why not, in one sentence; empty when ready.
        message: String,
    },
    /// A slice's state.
    SliceState {
        /// Which.
        name: Name,
        /// Whether every link was seen to work in both directions.
        ready: bool,
        /// Why not, in one sentence; empty when ready.
        message: String,
    },
    /// Other links are wanted than before, or others of them work:
    /// [`Engine::links`](crate::Engine::links) tells which.
    LinksChanged,
}

/// Where an address of a network is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At a port of one of the engine's switches.
    Port(PortId),
    /// Beyond a trunk.
    Region(Name),
}

/// One direction of a wanted link, as discovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The end that sends discovery frames.
    pub from: LinkEnd,
    /// The end where they should arrive.
    pub to: LinkEnd,
    /// Whether they do.
    pub up: bool,
    /// What is wrong, in one sentence; empty when up.
    pub message: String,
}

/// What an event speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Switch(DatapathId),
    Port(PortId),
    Addresses(PortId),
    Network(Vni),
    Slice(Name),
    Links,
}

impl Event {
    fn key(&self) -> Key {
        match self {
            Self::SwitchReady(id) | Self::SwitchDown { id, .. } => Key::Switch(*id),
            Self::PortState { id, .. } => Key::Port(id.clone()),
            Self::PortAddresses { id, .. } => Key::Addresses(id.clone()),
            Self::NetworkState { vni, .. } => Key::Network(*vni),
            Self::SliceState { name, .. } => Key::Slice(name.clone()),
            Self::LinksChanged => Key::Links,
        }
    }
}

/// Events on their way to the owner. Bounded by the number of objects.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What the owner has been told, or will be.
    told: BTreeMap<Key, Event>,
    waiting: BTreeMap<Key, Caused<Event>>,
}

impl Outbox {
    /// Queues an event, unless the owner knows it already.
    pub(crate) fn push(&mut self, event: Event, cause: Option<TraceContext>) {
        let key = event.key();
        // That links change says nothing that could be known already.
        if event != Event::LinksChanged {
            if self.told.get(&key) == Some(&event) {
                return;
            }
            self.told.insert(key.clone(), event.clone());
        }
        let cause = cause.or_else(|| self.waiting.get(&key)?.cause);
        self.waiting.insert(key, Caused { what: event, cause });
    }

    /// Whether the owner has last been told that the port is ready.
    pub(crate) fn port_is_ready(&self, id: &PortId) -> bool {
        matches!(self.told.get(&Key::Port(id.clone())), Some(Event::PortState { ready: true, .. }))
    }

    /// Whether the owner has last been told that the network is ready.
    pub(crate) fn network_is_ready(&self, vni: Vni) -> bool {
        let told = self.told.get(&Key::Network(vni));
        matches!(told, Some(Event::NetworkState { ready: true, .. }))
    }

    /// Whether the owner has been told of addresses behind a port.
    pub(crate) fn knows_addresses(&self, id: &PortId) -> bool {
        self.told.contains_key(&Key::Addresses(id.clone()))
    }

    /// Tells the owner of a network once more, if it has been told: it may not have known then that
    /// the network concerns it.
    pub(crate) fn repeat_network(&mut self, vni: Vni) {
        let key = Key::Network(vni);
        if let Some(event) = self.told.get(&key) {
            self.waiting.insert(key, Caused { what: event.clone(), cause: None });
        }
    }

    pub(crate) fn forget_port(&mut self, id: &PortId) {
        self.forget(&Key::Port(id.clone()));
        self.forget(&Key::Addresses(id.clone()));
    }

    pub(crate) fn forget_network(&mut self, vni: Vni) {
        self.forget(&Key::Network(vni));
    }

    pub(crate) fn forget_slice(&mut self, name: &Name) {
        self.forget(&Key::Slice(name.clone()));
    }

    pub(crate) fn forget_switch(&mut self, id: DatapathId) {
        self.forget(&Key::Switch(id));
    }

    fn forget(&mut self, key: &Key) {
        self.told.remove(key);
        self.waiting.remove(key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next event to send.
    pub(crate) fn pop(&mut self) -> Option<Caused<Event>> {
        self.waiting.pop_first().map(|(_, event)| event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_once_and_every_change_of_links() {
        let mut outbox = Outbox::default();
        let ready = Event::SwitchReady(DatapathId::derived(&["a"]));
        for _ in 0..2 {
            outbox.push(ready.clone(), None);
            outbox.push(Event::LinksChanged, None);
            outbox.push(Event::LinksChanged, None);
        }
        let told = |outbox: &mut Outbox| {
            std::iter::from_fn(|| Some(outbox.pop()?.what)).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut outbox), [ready.clone(), Event::LinksChanged]);
        outbox.push(ready, None);
        outbox.push(Event::LinksChanged, None);
        assert_eq!(told(&mut outbox), [Event::LinksChanged]);
    }
}
