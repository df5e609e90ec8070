//! The connection of one switch, as the actor sees it.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::InterfaceName;
use l2sces_openflow::{GroupId, PortDescription};
use l2sces_pki::Identity;
use l2sces_southbound::SwitchHandle;
use tokio::sync::mpsc;

use crate::{installer::Work, rounds::RoundId};

/// How much work may wait for one switch. A switch that lags more is disconnected, and brought up
/// to date at once when it comes back.
pub(crate) const WORK: usize = 1024;

/// How far the switch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing has been read or written.
    Connected,
    /// It is being read. Changes made meanwhile are part of what follows.
    Reading,
    /// Changes are sent as they come; the first ones are not confirmed yet.
    Writing,
    /// Its flows are as wanted.
    Ready,
    /// It refused something; this says what.
    Faulty(String),
}

/// A connected switch.
#[derive(Debug)]
pub(crate) struct Session {
    /// Which connection of the switch this is.
    pub(crate) epoch: u64,
    /// The agent whose certificate it shows; none without TLS.
    pub(crate) holder: Option<Identity>,
    pub(crate) stage: Stage,
    /// Whether it has been read, and changes are sent to it from then on.
    pub(crate) takes_changes: bool,
    /// Whether it has held up others, and is not waited for before it confirms something.
    pub(crate) is_late: bool,
    /// How often in a row it refused something.
    pub(crate) failures: u32,
    /// Whether it is to be read again soon.
    pub(crate) awaits_reading: bool,
    /// The groups that it has been told to turn, but has not confirmed yet.
    pub(crate) turns: BTreeMap<RoundId, BTreeSet<GroupId>>,
    handle: SwitchHandle,
    work: mpsc::Sender<Work>,
    ports: BTreeMap<u32, Port>,
}

/// A port of a switch.
#[derive(Debug)]
struct Port {
    /// Kept, so that a port that changes its name is noticed.
    name: InterfaceName,
    liveness: Liveness,
}

/// Whether the far end of a tunnel answers, as far as BFD has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Liveness {
    /// It has not answered since the switch connected: it may need more time.
    Unknown,
    /// It answers, or nobody asks it and the port is up.
    Live,
    /// It has answered, and does not any more.
    Lost,
}

impl Session {
    pub(crate) fn new(
        epoch: u64,
        holder: Option<Identity>,
        handle: SwitchHandle,
        work: mpsc::Sender<Work>,
    ) -> Self {
        Self {
            epoch,
            holder,
            stage: Stage::Connected,
            takes_changes: false,
            is_late: false,
            failures: 0,
            awaits_reading: false,
            turns: BTreeMap::new(),
            handle,
            work,
            ports: BTreeMap::new(),
        }
    }

    /// Hands work to the installer. If too much waits, the connection is closed.
    pub(crate) fn give(&self, work: Work) {
        if self.work.try_send(work).is_err() {
            self.handle.close();
        }
    }

    pub(crate) fn close(&self) {
        self.handle.close();
    }

    /// Notes a port as the switch describes it; returns the interfaces that have changed, each with
    /// its number now. A port whose name is no interface name cannot be one of ours.
    pub(crate) fn note_port(
        &mut self,
        description: &PortDescription,
        removed: bool,
    ) -> Vec<(InterfaceName, Option<u32>)> {
        let number = description.number;
        let name = if removed { None } else { description.name.parse::<InterfaceName>().ok() };
        let before = self.ports.remove(&number);
        let same = before.as_ref().filter(|before| Some(&before.name) == name.as_ref());
        if let Some(name) = name.clone() {
            let liveness = match same.map(|port| port.liveness) {
                _ if description.live => Liveness::Live,
                None | Some(Liveness::Unknown) => Liveness::Unknown,
                Some(Liveness::Live | Liveness::Lost) => Liveness::Lost,
            };
            self.ports.insert(number, Port { name, liveness });
        }
        let gone = before.filter(|before| Some(&before.name) != name.as_ref());
        gone.map(|gone| (gone.name, None))
            .into_iter()
            .chain(name.map(|name| (name, Some(number))))
            .collect()
    }

    /// All interfaces.
    pub(crate) fn interfaces(&self) -> BTreeMap<InterfaceName, u32> {
        self.ports.iter().map(|(number, port)| (port.name.clone(), *number)).collect()
    }

    /// The interfaces whose far end does not answer, whether it has or not.
    pub(crate) fn silent_interfaces(&self) -> BTreeSet<InterfaceName> {
        let silent = self.ports.values().filter(|port| port.liveness != Liveness::Live);
        silent.map(|port| port.name.clone()).collect()
    }

    /// Whether the far end of the port with a number has answered and does not any more. `None`: it
    /// has not answered yet.
    pub(crate) fn is_lost(&self, number: u32) -> Option<bool> {
        match self.ports.get(&number)?.liveness {
            Liveness::Unknown => None,
            Liveness::Live => Some(false),
            Liveness::Lost => Some(true),
        }
    }

    /// The interface with a number.
    pub(crate) fn interface(&self, number: u32) -> Option<&InterfaceName> {
        self.ports.get(&number).map(|port| &port.name)
    }
}
