//! Link discovery: finds out whether each wanted link works and ends where it should.
//!
//! Every direction of a link is probed with a signed LLDP frame (IEEE 802.1AB) sent out of the
//! tunnel at one end; where it comes in tells where the tunnel ends. No I/O, and `now` is passed in.

mod frame;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use l2sces_fabric::{LinkEnd, LinkSpec};
use tokio::time::Instant;

pub(crate) use frame::DiscoveryKey;

use crate::LinkState;

/// Between probes of a direction that works.
const INTERVAL: Duration = Duration::from_secs(5);
/// Between the first probes of a direction; doubles up to [`INTERVAL`].
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// A direction is broken when this many probes in a row were not seen to arrive.
const TOLERATED: u32 = 4;

/// What is known of one direction of a link.
#[derive(Debug)]
struct Direction {
    next_probe: Instant,
    interval: Duration,
    unanswered: u32,
    verified: bool,
    /// Where probes arrive that should arrive here, or from where they come instead.
    astray: Option<String>,
}

/// All wanted links.
#[derive(Debug)]
pub(crate) struct Discovery {
    key: DiscoveryKey,
    directions: BTreeMap<(LinkEnd, LinkEnd), Direction>,
}

/// A probe to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) from: LinkEnd,
    pub(crate) frame: Vec<u8>,
}

impl Discovery {
    pub(crate) fn new(key: DiscoveryKey) -> Self {
        Self { key, directions: BTreeMap::new() }
    }

    /// Sets the links to probe. What is known of a link that stays is kept.
    pub(crate) fn set_links(&mut self, links: &BTreeSet<LinkSpec>, now: Instant) {
        let wanted: BTreeSet<_> = links
            .iter()
            .flat_map(|link| [(&link.a, &link.b), (&link.b, &link.a)])
            .map(|(from, to)| (from.clone(), to.clone()))
            .collect();
        self.directions.retain(|ends, _| wanted.contains(ends));
        for ends in wanted {
            self.directions.entry(ends).or_insert_with(|| Direction::new(now));
        }
    }

    /// Forgets what is known of the links of a switch that has connected anew, and probes them
    /// soon. They are taken to work until shown otherwise.
    pub(crate) fn restart_switch(&mut self, id: l2sces_model::DatapathId, now: Instant) {
        for ((from, to), direction) in &mut self.directions {
            if from.switch == id || to.switch == id {
                *direction = Direction::new(now);
            }
        }
    }

    /// When the next probe is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.directions.values().map(|direction| direction.next_probe).min()
    }

    /// The probes that are due. `can_probe` tells whether both switches are connected: others say
    /// nothing about the link.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        can_probe: impl Fn(&LinkEnd, &LinkEnd) -> bool,
    ) -> Vec<Probe> {
        let mut probes = Vec::new();
        for ((from, to), direction) in &mut self.directions {
            if direction.next_probe > now {
                continue;
            }
            direction.next_probe = now + direction.interval;
            direction.interval = (direction.interval * 2).min(INTERVAL);
            if can_probe(from, to) {
                direction.unanswered = direction.unanswered.saturating_add(1);
                probes.push(Probe { from: from.clone(), frame: self.key.frame(from) });
            }
        }
        probes
    }

    /// Takes a frame that came in at a switch's interface; returns whether it was one of ours and
    /// told something new.
    pub(crate) fn frame_arrived(&mut self, at: &LinkEnd, frame: &[u8]) -> bool {
        let Some(sender) = self.key.sender(frame) else { return false };
        if let Some(direction) = self.directions.get_mut(&(sender.clone(), at.clone())) {
            let news = !direction.message().is_empty();
            direction.unanswered = 0;
            direction.verified = true;
            direction.astray = None;
            direction.interval = INTERVAL;
            return news;
        }
        let mut news = false;
        let astray = format!(
            "discovery frames from {} of switch {} arrive at {} of switch {}",
            sender.interface, sender.switch, at.interface, at.switch
        );
        for ((from, to), direction) in &mut self.directions {
            if (*from == sender || to == at) && direction.astray.as_ref() != Some(&astray) {
                direction.verified = false;
                direction.astray = Some(astray.clone());
                news = true;
            }
        }
        news
    }

    /// The directions that do not work.
    pub(crate) fn broken(&self) -> BTreeSet<(LinkEnd, LinkEnd)> {
        let broken = self.directions.iter().filter(|(_, direction)| direction.is_broken());
        broken.map(|(ends, _)| ends.clone()).collect()
    }

    /// Every direction.
    pub(crate) fn states(&self) -> Vec<LinkState> {
        let state = |((from, to), direction): (&(LinkEnd, LinkEnd), &Direction)| LinkState {
            from: from.clone(),
            to: to.clone(),
            up: direction.verified && !direction.is_broken(),
            message: direction.message(),
        };
        self.directions.iter().map(state).collect()
    }

    /// Why one direction of a link does not work; `None`: it does, or it is no wanted link.
    pub(crate) fn fault(&self, from: &LinkEnd, to: &LinkEnd) -> Option<String> {
        let direction = self.directions.get(&(from.clone(), to.clone()))?;
        Some(direction.message()).filter(|message| !message.is_empty())
    }
}

impl Direction {
    fn new(now: Instant) -> Self {
        Self {
            next_probe: now,
            interval: FIRST_INTERVAL,
            unanswered: 0,
            verified: false,
            astray: None,
        }
    }

    fn is_broken(&self) -> bool {
        self.unanswered > TOLERATED || self.astray.is_some()
    }

    fn message(&self) -> String {
        match &self.astray {
            Some(astray) => astray.clone(),
            None if self.unanswered > TOLERATED => {
                format!("the last {} discovery frames did not arrive", self.unanswered)
            }
            None if !self.verified => "no discovery frame has arrived yet".to_owned(),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
