//! Frames from addresses that a switch does not know, and addresses that are silent.

use std::collections::BTreeSet;

use l2sces_fabric::{PortId, PortRole, Subject, Whereabouts, pipeline};
use l2sces_model::{DatapathId, MacAddress};
use l2sces_openflow::{FlowRemoved, PacketIn};
use tokio::{sync::oneshot, time::Instant};
use tracing::{debug, info};

use super::{Actor, Input};
use crate::{Event, installer::Work, learning::Verdict, mending, rounds::SessionKey};

/// How many frames may wait for the flows that they need; more are dropped.
const HELD: usize = 1024;

/// A frame to be sent through the tables again.
#[derive(Debug)]
pub(super) struct Held {
    id: PortId,
    source: MacAddress,
    port: u32,
    frame: Vec<u8>,
}

impl Actor {
    /// An access port has sent a frame from an address that its switch does not know there. If it is
    /// learned, the frame goes on its way when the flows for it are there.
    pub(super) fn unknown_source(&mut self, key: SessionKey, packet: PacketIn) {
        let Some(session) = self.sessions.get(&key.0).filter(|it| it.takes_changes) else { return };
        let port = packet.in_port();
        let interface = port.and_then(|port| session.interface(port));
        let spec = interface.and_then(|interface| self.fabric.access_port(key.0, interface));
        let (Some(port), Some(spec), Some(mac)) = (port, spec, source(&packet.data)) else {
            return;
        };
        let (id, subject) = (spec.id.clone(), Subject::Network(spec.vni));
        let verdict = self.learning.observe(&mut self.fabric, &id, mac, Instant::now());
        debug!(%id, %mac, ?verdict, "frame from an unknown source");
        match verdict {
            Verdict::Learned => info!(port = %id, %mac, "learned"),
            Verdict::Known => {}
            Verdict::Missing => self.read_later(key, mending::AFTER_FOREIGN_CHANGE),
            Verdict::Refused => {
                self.note_stale([subject], None);
                return;
            }
        }
        self.note_stale([subject], None);
        self.hold(key, Held { id, source: mac, port, frame: packet.data });
    }

    /// Keeps a frame until what has changed so far is confirmed.
    fn hold(&mut self, key: SessionKey, held: Held) {
        if self.held >= HELD {
            debug!("dropped a frame: too many wait for their flows");
            return;
        }
        self.held += 1;
        let (done, confirmed) = oneshot::channel();
        self.waiters.push(done);
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            // Without an answer there is nothing left to wait for either.
            let _ = confirmed.await;
            let _ = inputs.send(Input::Confirmed(key, held)).await;
        });
    }

    /// The flows for a frame are there: it goes through the tables as if it had just come in. Not
    /// if its source has moved on meanwhile: it would be taken to have come back.
    pub(super) fn release(&mut self, key: SessionKey, held: Held) {
        let Held { id, source, port, frame } = held;
        self.held -= 1;
        if self.is_current(key)
            && self.is_known_at(&id, source)
            && let Some(session) = self.sessions.get(&key.0)
        {
            session.give(Work::Resume { port, frame });
        }
    }

    fn is_known_at(&self, id: &PortId, mac: MacAddress) -> bool {
        let vni = self.fabric.port(id).map(|port| port.vni);
        match vni.and_then(|vni| self.fabric.whereabouts(vni, mac)) {
            Some(Whereabouts::Port(at) | Whereabouts::LearnedAt(at)) => at == id,
            Some(Whereabouts::Region { .. }) | None => false,
        }
    }

    /// A switch has removed a flow since it took no frame for long.
    pub(super) fn flow_removed(&mut self, at: DatapathId, removed: &FlowRemoved) {
        let Some((vni, port, mac)) = pipeline::aged(removed) else { return };
        let Some(interface) = self.sessions.get(&at).and_then(|session| session.interface(port))
        else {
            return;
        };
        let port = self.fabric.access_port(at, interface).filter(|port| port.vni == vni);
        let Some(id) = port.map(|port| port.id.clone()) else { return };
        if self.fabric.learned_at(&id).contains(&mac) {
            info!(port = %id, %mac, "forgotten: silent for too long");
            self.fabric.forget_learned(vni, mac);
            self.learning.forget(vni, mac);
        }
    }

    /// Learns anew what was learned before a restart.
    pub(super) fn restore_learned(&mut self, id: &PortId, addresses: &BTreeSet<MacAddress>) {
        let Some(port) = self.fabric.port(id) else { return };
        let PortRole::Access { max_learned, .. } = port.role else { return };
        let vni = port.vni;
        for mac in addresses.iter().take(max_learned.into()) {
            if !matches!(self.fabric.whereabouts(vni, *mac), Some(Whereabouts::Port(_))) {
                self.fabric.learn(id, *mac);
            }
        }
    }

    pub(super) fn end_conflicts(&mut self) {
        for id in self.learning.expire(Instant::now()) {
            if let Some(vni) = self.fabric.port(&id).map(|port| port.vni) {
                self.note_stale([Subject::Network(vni)], None);
            }
        }
    }

    /// What the owner is to know of the addresses behind a port, if anything.
    pub(super) fn addresses(&self, id: &PortId) -> Option<Event> {
        let learns = self.fabric.port(id).is_some_and(
            |port| matches!(port.role, PortRole::Access { max_learned, .. } if max_learned > 0),
        );
        (self.complete && (learns || self.outbox.knows_addresses(id))).then(|| {
            Event::PortAddresses {
                id: id.clone(),
                learned: self.fabric.learned_at(id).clone(),
                conflicts: self.learning.conflicts(id),
            }
        })
    }
}

/// The source address of a frame, if it can be an endpoint's.
fn source(frame: &[u8]) -> Option<MacAddress> {
    let mac = MacAddress::new(*frame.get(6..12)?.first_chunk()?);
    (!mac.is_group() && mac.bytes() != [0; 6]).then_some(mac)
}
