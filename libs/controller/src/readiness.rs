//! What to tell the owner about each object, from what the actor knows.

use std::collections::BTreeMap;

use l2sces_fabric::{Fabric, LinkEnd, PortId, Subject};
use l2sces_model::{DatapathId, Name, Vni};

use crate::{
    Event,
    discovery::Discovery,
    event::Outbox,
    rounds::Rounds,
    session::{Session, Stage},
};

/// A view of everything that readiness depends on.
pub(crate) struct Readiness<'a> {
    pub(crate) fabric: &'a Fabric,
    pub(crate) sessions: &'a BTreeMap<DatapathId, Session>,
    pub(crate) rounds: &'a Rounds,
    pub(crate) discovery: &'a Discovery,
    /// Whether all that is wanted is known.
    pub(crate) complete: bool,
}

impl Readiness<'_> {
    pub(crate) fn switch(&self, id: DatapathId) -> Event {
        match self.switch_fault(id) {
            None => Event::SwitchReady(id),
            Some(reason) => Event::SwitchDown { id, reason },
        }
    }

    /// A port that was ready stays so while changes of its network are on their way.
    pub(crate) fn port(&self, id: &PortId, outbox: &Outbox) -> Event {
        let fault = match self.fabric.port(id) {
            None => Some("it is not wanted".to_owned()),
            Some(spec) => self
                .switch_fault(spec.switch)
                .or_else(|| self.fabric.problem(id).map(|problem| problem.to_string()))
                .or_else(|| {
                    let confirmed = self.rounds.is_confirmed(&Subject::Network(spec.vni));
                    let waits = !confirmed && !outbox.port_is_ready(id);
                    waits.then(|| "its flows are being installed".to_owned())
                }),
        };
        Event::PortState {
            id: id.clone(),
            ready: fault.is_none(),
            message: fault.unwrap_or_default(),
        }
    }

    /// A network that was ready stays so while its changes are on their way.
    pub(crate) fn network(&self, vni: Vni, outbox: &Outbox) -> Event {
        let confirmed = self.rounds.is_confirmed(&Subject::Network(vni));
        let fault = if !self.complete {
            Some("the controller has not read all of its state yet".to_owned())
        } else if !confirmed && !outbox.network_is_ready(vni) {
            Some("its flows are being installed".to_owned())
        } else {
            let ports = self.fabric.network_ports(vni).filter_map(|id| self.fabric.port(id));
            ports.map(|port| port.switch).find_map(|switch| self.switch_fault(switch))
        };
        Event::NetworkState { vni, ready: fault.is_none(), message: fault.unwrap_or_default() }
    }

    pub(crate) fn slice(&self, name: &Name) -> Event {
        let links = self.fabric.slice_links(name).unwrap_or_default();
        let ends = links.iter().flat_map(|link| [(&link.a, &link.b), (&link.b, &link.a)]);
        let fault =
            ends.clone().find_map(|(from, _)| self.switch_fault(from.switch)).or_else(|| {
                ends.clone().find_map(|(from, to)| {
                    let fault = self.discovery.fault(from, to)?;
                    Some(format!("link from {} to {}: {fault}", self.name(from), self.name(to)))
                })
            });
        Event::SliceState {
            name: name.clone(),
            ready: fault.is_none(),
            message: fault.unwrap_or_default(),
        }
    }

    fn name(&self, end: &LinkEnd) -> String {
        let name = self.fabric.switch_name(end.switch);
        name.map_or_else(|| end.switch.to_string(), ToOwned::to_owned)
    }

    /// Why a switch is not ready; `None`: it is.
    fn switch_fault(&self, id: DatapathId) -> Option<String> {
        let name = self.fabric.switch_name(id).map_or_else(|| id.to_string(), ToOwned::to_owned);
        match self.sessions.get(&id).map(|session| &session.stage) {
            Some(Stage::Ready) => None,
            None => Some(format!("switch {name} is not connected")),
            Some(Stage::Faulty(fault)) => Some(format!("switch {name}: {fault}")),
            Some(Stage::Connected) => {
                Some(format!("switch {name} waits for the controller's state"))
            }
            Some(Stage::Reading | Stage::Writing) => {
                Some(format!("switch {name} is being brought up to date"))
            }
        }
    }
}
