//! The connection of one switch, as the actor sees it.

use std::collections::BTreeMap;

use l2sces_model::InterfaceName;
use l2sces_openflow::PortDescription;
use l2sces_southbound::SwitchHandle;
use tokio::sync::mpsc;

use crate::installer::Work;

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
    pub(crate) stage: Stage,
    handle: SwitchHandle,
    work: mpsc::Sender<Work>,
    /// Names of the ports, by number, so that a port that changes its name is noticed.
    ports: BTreeMap<u32, InterfaceName>,
}

impl Session {
    pub(crate) fn new(epoch: u64, handle: SwitchHandle, work: mpsc::Sender<Work>) -> Self {
        Self { epoch, stage: Stage::Connected, handle, work, ports: BTreeMap::new() }
    }

    /// Whether changes must be sent to it, rather than being part of what is still to be compared.
    pub(crate) fn takes_changes(&self) -> bool {
        matches!(self.stage, Stage::Writing | Stage::Ready | Stage::Faulty(_))
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
        let before = match name.clone() {
            Some(name) => self.ports.insert(number, name),
            None => self.ports.remove(&number),
        };
        let gone = before.filter(|before| Some(before) != name.as_ref());
        gone.map(|gone| (gone, None))
            .into_iter()
            .chain(name.map(|name| (name, Some(number))))
            .collect()
    }

    /// All interfaces.
    pub(crate) fn interfaces(&self) -> BTreeMap<InterfaceName, u32> {
        self.ports.iter().map(|(number, name)| (name.clone(), *number)).collect()
    }

    /// The interface with a number.
    pub(crate) fn interface(&self, number: u32) -> Option<&InterfaceName> {
        self.ports.get(&number)
    }
}
