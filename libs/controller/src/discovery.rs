//! Link discovery: finds out whether each wanted link works and ends where it should.
//!
//! Every direction of a link is probed with a signed LLDP frame (IEEE 802.1AB) sent out of the
//! tunnel at one end; where it comes in tells where the tunnel ends. Where the switches run BFD
//! (RFC 5880) on their tunnels, its verdict counts too, and much sooner. No I/O, and `now` is
//! passed in.

mod direction;
mod frame;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use l2sces_fabric::{LinkEnd, LinkSpec};
use l2sces_model::{DatapathId, InterfaceName};
use tokio::time::Instant;

pub(crate) use frame::DiscoveryKey;

use crate::LinkState;
use direction::{Direction, INTERVAL};

/// Probes that are due within this time go out with those that are due now, so that links are
/// probed together, however their timing began.
const GATHER: Duration = Duration::from_millis(1500);

/// How long the far end of a tunnel may take to answer BFD at first. Open vSwitch sends once a second
/// until it has heard the other end, which takes both of them some two seconds.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// A link in one direction: where frames go in, and where they come out.
type Ends = (LinkEnd, LinkEnd);

/// All wanted links.
#[derive(Debug)]
pub(crate) struct Discovery {
    key: DiscoveryKey,
    directions: BTreeMap<Ends, Direction>,
    /// The directions that begin or end at each switch.
    at: BTreeMap<DatapathId, Vec<Ends>>,
    /// When which direction is to be probed. Those that cannot be are not there.
    schedule: BTreeSet<(Instant, Ends)>,
    /// The interfaces whose far ends have answered BFD and do not any more.
    lost: BTreeSet<LinkEnd>,
    /// The interfaces whose far ends have not answered BFD yet, and until when they may take.
    awaited: BTreeMap<LinkEnd, Instant>,
}

/// A probe to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) from: LinkEnd,
    pub(crate) frame: Vec<u8>,
}

impl Discovery {
    pub(crate) fn new(key: DiscoveryKey) -> Self {
        Self {
            key,
            directions: BTreeMap::new(),
            at: BTreeMap::new(),
            schedule: BTreeSet::new(),
            lost: BTreeSet::new(),
            awaited: BTreeMap::new(),
        }
    }

    /// Sets the links to probe. What is known of a link that stays is kept.
    pub(crate) fn set_links(&mut self, links: &BTreeSet<LinkSpec>, now: Instant) {
        let wanted: BTreeSet<Ends> = links
            .iter()
            .flat_map(|link| [(&link.a, &link.b), (&link.b, &link.a)])
            .map(|(from, to)| (from.clone(), to.clone()))
            .collect();
        self.directions.retain(|ends, _| wanted.contains(ends));
        self.schedule.retain(|(_, ends)| wanted.contains(ends));
        self.at.clear();
        for ends in wanted {
            for switch in BTreeSet::from([ends.0.switch, ends.1.switch]) {
                self.at.entry(switch).or_default().push(ends.clone());
            }
            if !self.directions.contains_key(&ends) {
                self.directions.insert(ends.clone(), Direction::default());
                self.schedule(ends, Some(now));
            }
        }
    }

    /// Forgets what is known of the links of a switch that has connected anew, and probes them
    /// soon. They are taken to work until shown otherwise, but for what was lost before and is
    /// still silent.
    pub(crate) fn restart_switch(
        &mut self,
        id: DatapathId,
        silent: &BTreeSet<InterfaceName>,
        now: Instant,
    ) {
        self.lost.retain(|end| end.switch != id || silent.contains(&end.interface));
        self.awaited.retain(|end, _| end.switch != id);
        for interface in silent {
            self.await_answer(&LinkEnd { switch: id, interface: interface.clone() }, now);
        }
        for ends in self.at.get(&id).cloned().unwrap_or_default() {
            self.restart(ends, now);
        }
    }

    /// A switch can be probed now: those of its links that could not be are.
    pub(crate) fn wake_switch(&mut self, id: DatapathId, now: Instant) {
        self.wake_where(id, now, |_| true);
    }

    /// An interface may have come: if it is the end of a link that could not be probed, that is.
    pub(crate) fn wake(&mut self, end: &LinkEnd, now: Instant) {
        self.wake_where(end.switch, now, |(from, to)| from == end || to == end);
    }

    fn wake_where(&mut self, id: DatapathId, now: Instant, is_meant: impl Fn(&Ends) -> bool) {
        for ends in self.at.get(&id).cloned().unwrap_or_default() {
            let sleeps = self.directions.get(&ends).is_some_and(|it| it.next_probe.is_none());
            if sleeps && is_meant(&ends) {
                self.schedule(ends, Some(now));
            }
        }
    }

    /// An interface's far end has not answered BFD yet: if it does not for long, it is lost.
    pub(crate) fn await_answer(&mut self, end: &LinkEnd, now: Instant) {
        if !self.lost.contains(end) {
            self.awaited.entry(end.clone()).or_insert(now + FIRST_ANSWER);
        }
    }

    /// BFD tells that an interface's far end does not answer any more, or does again. Returns
    /// whether that is news of a wanted link.
    pub(crate) fn set_lost(&mut self, end: &LinkEnd, is_lost: bool, now: Instant) -> bool {
        self.awaited.remove(end);
        let is_news = match is_lost {
            true => self.lost.insert(end.clone()),
            false => self.lost.remove(end),
        };
        if !is_news {
            return false;
        }
        let of_switch = self.at.get(&end.switch).into_iter().flatten();
        let links: Vec<_> = of_switch.filter(|(from, to)| from == end || to == end).collect();
        let links: Vec<_> = links.into_iter().cloned().collect();
        let concerns_any = !links.is_empty();
        if !is_lost {
            // What was not heard while it was cut says nothing now.
            links.into_iter().for_each(|ends| self.restart(ends, now));
        }
        concerns_any
    }

    /// When the next probe is due, or an answer overdue.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let probe = self.schedule.first().map(|(at, _)| *at);
        probe.into_iter().chain(self.awaited.values().copied()).min()
    }

    /// The probes that are due. `can_probe` tells whether both switches are ready: others say
    /// nothing about the link, which is probed again when it is woken.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        can_probe: impl Fn(&LinkEnd, &LinkEnd) -> bool,
    ) -> Vec<Probe> {
        if self.next_deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let overdue = self.awaited.extract_if(.., |_, until| *until <= now);
        self.lost.extend(overdue.map(|(end, _)| end));
        if self.schedule.first().is_none_or(|(at, _)| *at > now) {
            return Vec::new();
        }
        let is_due = |at: Instant, ends: &Ends| {
            at <= now || self.directions.get(ends).is_some_and(Direction::is_steady)
        };
        let due: Vec<Ends> = self
            .schedule
            .iter()
            .take_while(|(at, _)| *at <= now + GATHER)
            .filter(|(at, ends)| is_due(*at, ends))
            .map(|(_, ends)| ends.clone())
            .collect();
        let mut probes = Vec::new();
        for ends in due {
            let next = can_probe(&ends.0, &ends.1).then(|| {
                probes.push(Probe { from: ends.0.clone(), frame: self.key.frame(&ends.0) });
                let direction = self.directions.entry(ends.clone()).or_default();
                now + direction.probed()
            });
            self.schedule(ends, next);
        }
        probes
    }

    /// Takes a frame that came in at a switch's interface; returns whether it was one of ours and
    /// told something new. `name` is what people call a switch.
    pub(crate) fn frame_arrived(
        &mut self,
        at: &LinkEnd,
        frame: &[u8],
        now: Instant,
        name: impl Fn(DatapathId) -> String,
    ) -> bool {
        let Some(sender) = self.key.sender(frame) else { return false };
        let ends = (sender, at.clone());
        if let Some(direction) = self.directions.get_mut(&ends) {
            let news = direction.answered();
            self.schedule(ends, Some(now + INTERVAL));
            return news;
        }
        let (sender, _) = ends;
        let astray = format!(
            "discovery frames that {} sends into {} come out at {}, of {}",
            name(sender.switch),
            sender.interface,
            name(at.switch),
            at.interface
        );
        let mut news = false;
        for ((from, to), direction) in &mut self.directions {
            if *from == sender {
                news |= direction.went_astray(&astray);
            } else if to == at {
                news |= direction.met_strangers(&astray);
            }
        }
        news
    }

    /// The directions that do not work. A link that BFD finds broken at one end is so both ways.
    pub(crate) fn broken(&self) -> BTreeSet<Ends> {
        let is_broken =
            |(ends, direction): &(&Ends, &Direction)| direction.is_broken() || self.is_lost(ends);
        self.directions.iter().filter(is_broken).map(|(ends, _)| ends.clone()).collect()
    }

    /// Every direction.
    pub(crate) fn states(&self) -> Vec<LinkState> {
        let state = |(ends, direction): (&Ends, &Direction)| {
            let message = self.message(ends, direction);
            LinkState { from: ends.0.clone(), to: ends.1.clone(), up: message.is_empty(), message }
        };
        self.directions.iter().map(state).collect()
    }

    /// Why one direction of a link does not work; `None`: it does, or it is no wanted link.
    pub(crate) fn fault(&self, from: &LinkEnd, to: &LinkEnd) -> Option<String> {
        let ends = (from.clone(), to.clone());
        let message = self.message(&ends, self.directions.get(&ends)?);
        Some(message).filter(|message| !message.is_empty())
    }

    /// What is wrong, in one sentence; empty if nothing is.
    fn message(&self, ends: &Ends, direction: &Direction) -> String {
        match direction.message() {
            // Names the far end, which BFD does not know.
            message if direction.is_astray() => message,
            _ if self.is_lost(ends) => "no BFD answer from the far end".to_owned(),
            message => message,
        }
    }

    fn is_lost(&self, (from, to): &Ends) -> bool {
        self.lost.contains(from) || self.lost.contains(to)
    }

    fn restart(&mut self, ends: Ends, now: Instant) {
        if let Some(direction) = self.directions.get_mut(&ends) {
            direction.restart();
        }
        self.schedule(ends, Some(now));
    }

    /// Probes a direction at a time, instead of when it would have been; `None`: when it is woken.
    fn schedule(&mut self, ends: Ends, at: Option<Instant>) {
        let Some(direction) = self.directions.get_mut(&ends) else { return };
        let before = std::mem::replace(&mut direction.next_probe, at);
        if let Some(before) = before {
            self.schedule.remove(&(before, ends.clone()));
        }
        self.schedule.extend(at.map(|at| (at, ends)));
    }
}

#[cfg(test)]
mod tests;
