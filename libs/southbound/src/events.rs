use std::{collections::BTreeMap, convert::Infallible, future};

use l2sces_openflow::{OpenFlowError, PacketIn, PortDescription};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::{debug, warn};

use crate::{CloseReason, SwitchEvent};

/// How many events may wait for their receiver.
const EVENTS: usize = 1024;

/// How many of these places are kept for what must not be lost.
const RESERVED: usize = EVENTS / 4;

/// Where a connection puts its events. Never holds the connection up: what may be lost is dropped
/// when the receiver lags, and of each port only the last state is kept.
pub(crate) struct Outbox {
    events: Sender<SwitchEvent>,
    /// Ports that changed while there was no place, by number, and whether they are gone.
    late: BTreeMap<u32, (PortDescription, bool)>,
}

impl Outbox {
    pub(crate) fn new() -> (Self, Receiver<SwitchEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        (Self { events, late: BTreeMap::new() }, receiver)
    }

    /// A port is new, has changed, or is gone.
    pub(crate) fn port(&mut self, description: PortDescription, removed: bool) {
        self.late.insert(description.number, (description, removed));
        while let Ok(permit) = self.events.try_reserve() {
            let Some((_, (description, removed))) = self.late.pop_first() else { return };
            permit.send(SwitchEvent::PortChanged { description, removed });
        }
    }

    pub(crate) fn packet_in(&self, packet: PacketIn) {
        if self.events.capacity() > RESERVED {
            // The receiver may be gone: then nobody wants it.
            let _ = self.events.try_send(SwitchEvent::PacketIn(packet));
        } else {
            debug!("dropped a packet-in: the controller lags");
        }
    }

    pub(crate) fn error(&self, error: OpenFlowError) {
        warn!(%error, "the switch refused what nobody waits for");
        if self.events.capacity() > RESERVED {
            let _ = self.events.try_send(SwitchEvent::Error(error));
        }
    }

    /// Delivers what is late. Never ends; may be dropped without loss.
    pub(crate) async fn deliver(&mut self) -> Infallible {
        while !self.late.is_empty() {
            let Ok(permit) = self.events.reserve().await else { break };
            if let Some((_, (description, removed))) = self.late.pop_first() {
                permit.send(SwitchEvent::PortChanged { description, removed });
            }
        }
        future::pending().await
    }

    /// Delivers everything, and the end.
    pub(crate) async fn close(self, reason: CloseReason) {
        let ports = self
            .late
            .into_values()
            .map(|(description, removed)| SwitchEvent::PortChanged { description, removed });
        for event in ports.chain([SwitchEvent::Closed(reason)]) {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }
}
