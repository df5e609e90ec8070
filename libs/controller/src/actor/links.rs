//! What switches tell of their ports, and what that says about links.

use std::collections::BTreeMap;

use l2sces_fabric::LinkEnd;
use l2sces_model::DatapathId;
use l2sces_openflow::{MatchField, PacketIn, PortDescription};
use tokio::time::Instant;
use tracing::warn;

use super::Actor;
use crate::{installer::Work, session::Stage};

impl Actor {
    pub(super) fn port_changed(
        &mut self,
        id: DatapathId,
        description: &PortDescription,
        removed: bool,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let changed = session.note_port(description, removed);
        let now = Instant::now();
        let mut news = false;
        for (interface, number) in changed {
            let is_lost = number.map_or(Some(false), |number| session.is_lost(number));
            self.fabric.set_interface(id, &interface, number);
            if number.is_some() {
                self.traces.interface_appeared(id, &interface);
            }
            let end = LinkEnd { switch: id, interface };
            match is_lost {
                Some(is_lost) => news |= self.discovery.set_lost(&end, is_lost, now),
                // It may need more time, or have been lost before the switch connected.
                None => self.discovery.await_answer(&end, now),
            }
            self.discovery.wake(&end, now);
        }
        if news {
            self.note_broken_links();
            self.stale_links();
        }
    }

    pub(super) fn packet_in(&mut self, id: DatapathId, packet: &PacketIn) {
        let in_port = packet.matching.fields().iter().find_map(|field| match field {
            MatchField::InPort(port) => Some(*port),
            _ => None,
        });
        let interface = in_port.and_then(|port| self.sessions.get(&id)?.interface(port).cloned());
        let Some(interface) = interface else { return };
        let end = LinkEnd { switch: id, interface };
        let name = |id: DatapathId| {
            self.fabric.switch_name(id).map_or_else(|| id.to_string(), ToOwned::to_owned)
        };
        if self.discovery.frame_arrived(&end, &packet.data, Instant::now(), name) {
            self.note_broken_links();
            self.stale_links();
        }
    }

    pub(super) fn probe(&mut self) {
        let port = |end: &LinkEnd| {
            self.sessions.get(&end.switch).filter(|session| session.stage == Stage::Ready)?;
            self.fabric.interface(end.switch, &end.interface)
        };
        let mut frames: BTreeMap<DatapathId, Vec<(u32, Vec<u8>)>> = BTreeMap::new();
        let can_probe = |from: &LinkEnd, to: &LinkEnd| port(from).is_some() && port(to).is_some();
        for probe in self.discovery.due(Instant::now(), can_probe) {
            if let Some(port) = port(&probe.from) {
                frames.entry(probe.from.switch).or_default().push((port, probe.frame));
            }
        }
        for (id, frames) in frames {
            if let Some(session) = self.sessions.get(&id) {
                session.give(Work::Send(frames));
            }
        }
        if self.note_broken_links() {
            self.stale_links();
        }
    }

    /// Takes over into the fabric which links discovery finds broken; returns whether that is news.
    pub(super) fn note_broken_links(&mut self) -> bool {
        let broken = self.discovery.broken();
        if self.fabric.broken_links() == &broken {
            return false;
        }
        for (from, to) in broken.difference(self.fabric.broken_links()) {
            self.steps.hurry();
            let fault = self.discovery.fault(from, to).unwrap_or_default();
            warn!(from = %from.switch, to = %to.switch, interface = %from.interface, fault, "link broken");
        }
        self.fabric.set_broken_links(broken);
        true
    }
}
