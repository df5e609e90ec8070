use std::{collections::BTreeMap, convert::Infallible, future};

use l2sces_openflow::{FlowRemoved, OpenFlowError, PacketIn, PortDescription};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::{debug, warn};

use crate::{CloseReason, SwitchEvent, measure};

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
    /// Whether flows were changed while there was no place.
    flows_changed: bool,
}

impl Outbox {
    pub(crate) fn new() -> (Self, Receiver<SwitchEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        (Self { events, late: BTreeMap::new(), flows_changed: false }, receiver)
    }

    /// A port is new, has changed, or is gone.
    pub(crate) fn port(&mut self, description: PortDescription, removed: bool) {
        self.late.insert(description.number, (description, removed));
        self.deliver_now();
    }

    /// Somebody else has changed flows.
    pub(crate) fn flows_changed(&mut self) {
        self.flows_changed = true;
        self.deliver_now();
    }

    fn deliver_now(&mut self) {
        while self.is_late()
            && let Ok(permit) = self.events.try_reserve()
            && let Some(event) = Self::next(&mut self.late, &mut self.flows_changed)
        {
            permit.send(event);
        }
    }

    fn is_late(&self) -> bool {
        self.flows_changed || !self.late.is_empty()
    }

    /// The next event that had no place.
    fn next(
        late: &mut BTreeMap<u32, (PortDescription, bool)>,
        flows_changed: &mut bool,
    ) -> Option<SwitchEvent> {
        match late.pop_first() {
            Some((_, (description, removed))) => {
                Some(SwitchEvent::PortChanged { description, removed })
            }
            None => std::mem::take(flows_changed).then_some(SwitchEvent::FlowsChanged),
        }
    }

    /// A flow that was to go by itself is gone. If nobody can be told now, then later that flows
    /// have changed.
    pub(crate) fn flow_removed(&mut self, removed: FlowRemoved) {
        let is_told = self.events.capacity() > RESERVED
            && self.events.try_send(SwitchEvent::FlowRemoved(Box::new(removed))).is_ok();
        if !is_told {
            self.flows_changed();
        }
    }

    pub(crate) fn packet_in(&self, packet: PacketIn) {
        if self.events.capacity() > RESERVED {
            // The receiver may be gone: then nobody wants it.
            let _ = self.events.try_send(SwitchEvent::PacketIn(packet));
        } else {
            measure::lost_packet_in();
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
        while self.is_late() {
            let Ok(permit) = self.events.reserve().await else { break };
            if let Some(event) = Self::next(&mut self.late, &mut self.flows_changed) {
                permit.send(event);
            }
        }
        future::pending().await
    }

    /// Delivers everything, and the end.
    pub(crate) async fn close(mut self, reason: CloseReason) {
        let late = std::iter::from_fn(|| Self::next(&mut self.late, &mut self.flows_changed));
        for event in late.chain([SwitchEvent::Closed(reason)]) {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use l2sces_model::MacAddress;
    use l2sces_openflow::{Match, PacketInReason};

    use super::*;

    fn port(number: u32, live: bool) -> PortDescription {
        PortDescription {
            number,
            name: format!("p{number}"),
            hw_addr: MacAddress::BROADCAST,
            shut: false,
            link_down: false,
            live,
        }
    }

    fn packet_in() -> PacketIn {
        PacketIn {
            buffer: None,
            total_length: 0,
            reason: PacketInReason::Action,
            table: 0,
            cookie: 0,
            matching: Match::any(),
            data: vec![],
        }
    }

    #[tokio::test]
    async fn a_receiver_that_lags_loses_packets_and_no_state_of_a_port() {
        let (mut outbox, mut receiver) = Outbox::new();
        (0..2 * EVENTS).for_each(|_| outbox.packet_in(packet_in()));
        assert_eq!(receiver.len(), EVENTS - RESERVED);

        // More changes than places, so that the last state of each port comes late.
        let ports = 2 * EVENTS as u32;
        (0..ports).for_each(|number| outbox.port(port(number, false), false));
        (0..ports).for_each(|number| outbox.port(port(number, true), number % 2 == 0));
        tokio::spawn(async move {
            tokio::select! {
                never = outbox.deliver() => match never {},
                () = tokio::task::yield_now() => {}
            }
            outbox.close(CloseReason::Local).await;
        });

        let mut states = BTreeMap::new();
        let mut packets = 0;
        loop {
            match receiver.recv().await {
                Some(SwitchEvent::PortChanged { description, removed }) => {
                    states.insert(description.number, (description, removed));
                }
                Some(SwitchEvent::PacketIn(_)) => packets += 1,
                Some(SwitchEvent::Closed(CloseReason::Local)) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(packets, EVENTS - RESERVED);
        let expected = (0..ports).map(|number| (number, (port(number, true), number % 2 == 0)));
        assert!(states.into_iter().eq(expected));
        assert!(receiver.recv().await.is_none());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_receiver_that_is_gone() {
        let (mut outbox, receiver) = Outbox::new();
        drop(receiver);
        outbox.packet_in(packet_in());
        outbox.port(port(1, true), false);
        outbox.close(CloseReason::Eof).await;
    }
}
