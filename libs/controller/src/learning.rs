//! Finds out where endpoints are that nobody announced, from the frames that access ports send.
//!
//! An address is where it was seen last: it is followed when it moves. One that moves to and fro is
//! probably at two places at once, and then stays where it is (RFC 7432, section 15.1). One that was
//! announced is never learned elsewhere. No I/O, and `now` is passed in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use l2sces_fabric::{Fabric, PortId, PortRole, Whereabouts};
use l2sces_model::{MacAddress, Vni};
use tokio::time::Instant;

use crate::Place;

/// An address that has moved [`MOVES`] times within this time moves no more (RFC 7432, section
/// 15.1); and so long a conflict is told of after it was last seen.
const WINDOW: Duration = Duration::from_secs(180);
const MOVES: usize = 5;
/// How many conflicts are told of one port.
const CONFLICTS: usize = 16;
/// So many frames of an address may come here after it was learned: they were on their way then.
/// More than the ports' meters let through at once, so that only a switch that lacks the flows it
/// should have sends them.
const STRAGGLERS: u32 = 512;

/// What has been seen of addresses that are not announced.
#[derive(Debug, Default)]
pub(crate) struct Learning {
    /// When each address moved, not long ago.
    moves: BTreeMap<(Vni, MacAddress), VecDeque<Instant>>,
    conflicts: BTreeMap<PortId, BTreeMap<MacAddress, Conflict>>,
    stragglers: BTreeMap<(Vni, MacAddress), u32>,
}

/// An address that a port sends from, and that is elsewhere.
#[derive(Debug)]
struct Conflict {
    place: Place,
    seen: Instant,
}

/// What is to become of a frame from an address that the switch does not know at its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has been learned.
    Learned,
    /// It is known here; the frame was on its way before the switch knew.
    Known,
    /// It is known here, and the switch should have been told long ago.
    Missing,
    /// It is another's, or one too many.
    Refused,
}

impl Learning {
    /// Takes note of a frame that an access port sent from an address.
    pub(crate) fn observe(
        &mut self,
        fabric: &mut Fabric,
        id: &PortId,
        mac: MacAddress,
        now: Instant,
    ) -> Verdict {
        let Some(port) = fabric.port(id) else { return Verdict::Refused };
        let PortRole::Access { max_learned, .. } = port.role else { return Verdict::Refused };
        let vni = port.vni;
        let refuge = match fabric.whereabouts(vni, mac) {
            Some(Whereabouts::Port(at) | Whereabouts::LearnedAt(at)) if at == id => {
                return self.straggler(vni, mac);
            }
            Some(Whereabouts::Port(at)) => {
                self.note_conflict(id, mac, Place::Port(at.clone()), now);
                return Verdict::Refused;
            }
            Some(Whereabouts::Region { name, is_learned: false }) => {
                self.note_conflict(id, mac, Place::Region(name.clone()), now);
                return Verdict::Refused;
            }
            Some(Whereabouts::LearnedAt(at)) => Some(Place::Port(at.clone())),
            Some(Whereabouts::Region { name, .. }) => Some(Place::Region(name.clone())),
            None => None,
        };
        if fabric.learned_at(id).len() >= usize::from(max_learned) {
            return Verdict::Refused;
        }
        if let Some(place) = refuge
            && !self.may_move(vni, mac, now)
        {
            self.note_conflict(id, mac, place, now);
            return Verdict::Refused;
        }
        if let Some(conflicts) = self.conflicts.get_mut(id) {
            conflicts.remove(&mac);
        }
        self.stragglers.remove(&(vni, mac));
        fabric.learn(id, mac);
        Verdict::Learned
    }

    fn straggler(&mut self, vni: Vni, mac: MacAddress) -> Verdict {
        let count = self.stragglers.entry((vni, mac)).or_default();
        *count += 1;
        if *count < STRAGGLERS {
            return Verdict::Known;
        }
        self.stragglers.remove(&(vni, mac));
        Verdict::Missing
    }

    /// Whether an address may move once more; if so, that counts.
    fn may_move(&mut self, vni: Vni, mac: MacAddress, now: Instant) -> bool {
        self.moves.retain(|_, times| {
            while times.front().is_some_and(|time| now.duration_since(*time) >= WINDOW) {
                times.pop_front();
            }
            !times.is_empty()
        });
        let times = self.moves.entry((vni, mac)).or_default();
        if times.len() >= MOVES {
            return false;
        }
        times.push_back(now);
        true
    }

    fn note_conflict(&mut self, id: &PortId, mac: MacAddress, place: Place, now: Instant) {
        let conflicts = self.conflicts.entry(id.clone()).or_default();
        if conflicts.len() < CONFLICTS || conflicts.contains_key(&mac) {
            conflicts.insert(mac, Conflict { place, seen: now });
        }
    }

    /// An address is not known any more, or elsewhere.
    pub(crate) fn forget(&mut self, vni: Vni, mac: MacAddress) {
        self.stragglers.remove(&(vni, mac));
    }

    /// A port goes.
    pub(crate) fn forget_port(&mut self, fabric: &Fabric, id: &PortId) {
        self.conflicts.remove(id);
        if let Some(port) = fabric.port(id) {
            fabric.learned_at(id).iter().for_each(|mac| self.forget(port.vni, *mac));
        }
    }

    /// The addresses that a port sends from, and that are elsewhere.
    pub(crate) fn conflicts(&self, id: &PortId) -> BTreeMap<MacAddress, Place> {
        let conflicts = self.conflicts.get(id).into_iter().flatten();
        conflicts.map(|(mac, conflict)| (*mac, conflict.place.clone())).collect()
    }

    /// When the next conflict is over, if none of it is seen until then.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.conflicts.values().flat_map(BTreeMap::values).map(|it| it.seen + WINDOW).min()
    }

    /// Ends the conflicts of which nothing was seen for long; returns their ports.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<PortId> {
        let mut expired = Vec::new();
        self.conflicts.retain(|id, conflicts| {
            let before = conflicts.len();
            conflicts.retain(|_, conflict| now.duration_since(conflict.seen) < WINDOW);
            if conflicts.len() != before {
                expired.push(id.clone());
            }
            !conflicts.is_empty()
        });
        expired
    }
}
