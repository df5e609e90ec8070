//! The parts that programs are compiled in, and what a change may change.
//!
//! Every change notes the parts that it may concern *before* it is made, with what they compiled
//! to then; so nothing compiled has to be kept. To note a part too many costs a little time, to
//! note one too few would leave a stale flow: `tests/walk` compares with compiling everything.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};
use l2sces_openflow::Program;

use crate::{
    Fabric, PortId, PortRole, PortSpec, Subject,
    network::Network,
    pipeline,
    routes::{Former, Leg},
    switch::is_connected,
};

/// A part of one switch's program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// What it has whatever its networks.
    Switch(DatapathId),
    /// How an access port lets frames in.
    Access(DatapathId, PortId),
    /// How a network floods.
    Member(DatapathId, Vni),
    /// The way to one address of a network.
    Entry(DatapathId, Vni, MacAddress),
}

/// What may have changed since the last compilation, and what it was.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) parts: BTreeMap<Part, Program>,
    /// Those of the parts that change last.
    pub(crate) last: BTreeSet<Part>,
    /// By slice, destination and switch.
    pub(crate) legs: BTreeMap<(Name, DatapathId, DatapathId), Option<Leg>>,
    pub(crate) subjects: BTreeSet<Subject>,
    /// What earlier revisions were to add and delete, and did not.
    pub(crate) undone: Vec<(DatapathId, Program, Program)>,
}

impl Part {
    pub(crate) fn switch(&self) -> DatapathId {
        match self {
            Self::Switch(at)
            | Self::Access(at, _)
            | Self::Member(at, _)
            | Self::Entry(at, _, _) => *at,
        }
    }
}

impl Fabric {
    pub(crate) fn compile_part(&self, part: &Part) -> Program {
        match part {
            Part::Switch(at) => self.compile_switch(*at),
            Part::Access(at, id) => self.compile_access(*at, id),
            Part::Member(at, vni) => self.compile_member(*vni, *at),
            Part::Entry(at, vni, mac) => self.compile_entry(*vni, *mac, *at),
        }
    }

    fn compile_switch(&self, at: DatapathId) -> Program {
        let mut program = Program::default();
        let Some(switch) = self.switches.get(&at).filter(|switch| switch.spec.is_some()) else {
            return program;
        };
        pipeline::base().into_iter().for_each(|flow| program.put_flow(flow));
        for (interface, slices) in self.link_ends.get(&at).into_iter().flatten() {
            let Some(port) = switch.interfaces.get(interface) else { continue };
            pipeline::link(*port).into_iter().for_each(|flow| program.put_flow(flow));
            let mut slices = slices.iter().filter_map(|name| self.slices.get(name));
            if slices.any(|slice| slice.spec.is_measured) {
                pipeline::probed_link(*port).into_iter().for_each(|flow| program.put_flow(flow));
            }
        }
        program
    }

    /// The whole program of a switch, as things are now.
    pub fn program(&self, at: DatapathId) -> Program {
        let mut whole = self.compile_switch(at);
        let mut add = |part: Program| whole.merge(part);
        for slice in self.slices.values().filter(|slice| slice.members.contains(&at)) {
            for destination in slice.routes.destinations(at) {
                add(compile_leg(destination == at, slice.routes.leg(destination, at)));
            }
        }
        let ids = self.ports_on.get(&at).into_iter().flatten();
        let vnis: BTreeSet<Vni> =
            ids.clone().filter_map(|id| self.ports.get(id)).map(|port| port.vni).collect();
        ids.for_each(|id| add(self.compile_access(at, id)));
        for vni in vnis {
            add(self.compile_member(vni, at));
            self.macs(vni).into_iter().for_each(|mac| add(self.compile_entry(vni, mac, at)));
        }
        whole
    }

    /// Notes a part. Of a switch that cannot be changed now nothing is noted.
    pub(crate) fn note(&mut self, part: Part) {
        if self.is_connected(part.switch()) && !self.pending.parts.contains_key(&part) {
            let before = self.compile_part(&part);
            self.pending.parts.insert(part, before);
        }
    }

    pub(crate) fn is_connected(&self, id: DatapathId) -> bool {
        is_connected(&self.switches, id)
    }

    /// What a switch has whatever its networks may change.
    pub(crate) fn note_switch(&mut self, id: DatapathId) {
        self.pending.subjects.insert(Subject::Switch(id));
        self.note(Part::Switch(id));
    }

    /// Everything of a network may change.
    pub(crate) fn note_network(&mut self, vni: Vni) {
        self.pending.subjects.insert(Subject::Network(vni));
        let Some(network) = self.networks.get(&vni) else { return };
        let sites: Vec<_> = network.sites.iter().map(|(at, ids)| (*at, ids.clone())).collect();
        let macs = network.macs();
        for (at, ids) in sites {
            ids.into_iter().for_each(|id| self.note(Part::Access(at, id)));
            self.note(Part::Member(at, vni));
            macs.iter().for_each(|mac| self.note(Part::Entry(at, vni, *mac)));
        }
    }

    /// How a network's switches forward to an address may change.
    pub(crate) fn note_address(&mut self, vni: Vni, mac: MacAddress) {
        self.pending.subjects.insert(Subject::Network(vni));
        let sites: Vec<_> = self.sites(vni);
        sites.into_iter().for_each(|at| self.note(Part::Entry(at, vni, mac)));
    }

    /// A port comes, goes or changes, and with it whoever may have its interface or address instead.
    pub(crate) fn note_port(&mut self, port: &PortSpec) {
        self.note_one_port(port);
        let mut rivals = self
            .interface_ports
            .get(&(port.switch, port.interface.clone()))
            .cloned()
            .unwrap_or_default();
        if let PortRole::Access { mac, .. } = port.role {
            let holders =
                self.networks.get(&port.vni).and_then(|network| network.addresses.get(&mac));
            rivals.extend(holders.into_iter().flatten().cloned());
        }
        rivals.remove(&port.id);
        for rival in rivals.iter().filter_map(|id| self.ports.get(id)).cloned().collect::<Vec<_>>()
        {
            self.note_one_port(&rival);
        }
    }

    fn note_one_port(&mut self, port: &PortSpec) {
        let (at, vni) = (port.switch, port.vni);
        self.pending.subjects.insert(Subject::Network(vni));
        let PortRole::Access { mac, .. } = port.role else {
            // A trunk is the way to many addresses, and its epoch concerns every copy.
            self.note_network(vni);
            self.note_site(vni, at);
            return;
        };
        self.note(Part::Access(at, port.id.clone()));
        self.note(Part::Member(at, vni));
        for mac in self.learned_at(&port.id).iter().copied().chain([mac]).collect::<Vec<_>>() {
            self.note(Part::Entry(at, vni, mac));
            self.note_address(vni, mac);
        }
        if !self.has_other_leg(port) {
            self.note_membership(vni, at);
        }
    }

    /// A switch may get a part in a network, or lose it: whoever floods there sends it a copy.
    fn note_membership(&mut self, vni: Vni, at: DatapathId) {
        let sites = self.sites(vni);
        sites.into_iter().for_each(|other| self.note(Part::Member(other, vni)));
        self.note_site(vni, at);
    }

    /// All that a network has on a switch may change.
    fn note_site(&mut self, vni: Vni, at: DatapathId) {
        self.note(Part::Member(at, vni));
        if self.is_connected(at) {
            self.macs(vni).into_iter().for_each(|mac| self.note(Part::Entry(at, vni, mac)));
        }
    }

    /// All ports of some networks on a switch may change, together.
    pub(crate) fn note_ports_on(&mut self, at: DatapathId, concerns: impl Fn(Vni) -> bool) {
        let ids = self.ports_on.get(&at).into_iter().flatten();
        let ports = ids.filter_map(|id| self.ports.get(id));
        let ports: Vec<_> = ports.filter(|port| concerns(port.vni)).cloned().collect();
        ports.iter().for_each(|port| self.note_port(port));
        let vnis: BTreeSet<_> = ports.iter().map(|port| port.vni).collect();
        vnis.into_iter().for_each(|vni| self.note_membership(vni, at));
    }

    /// The ports with an interface may change.
    pub(crate) fn note_interface(&mut self, at: DatapathId, interface: &InterfaceName) {
        let ids = self.interface_ports.get(&(at, interface.clone())).into_iter().flatten();
        let ports: Vec<_> = ids.filter_map(|id| self.ports.get(id)).cloned().collect();
        ports.iter().for_each(|port| self.note_port(port));
    }

    pub(crate) fn note_legs(&mut self, slice: &Name, former: Former) {
        self.pending.subjects.insert(Subject::Slice(slice.clone()));
        for (destination, at, leg) in former {
            self.pending.legs.entry((slice.clone(), destination, at)).or_insert(leg);
        }
    }

    /// Whether a port's switch has a part in its network by an access port beside this one.
    fn has_other_leg(&self, port: &PortSpec) -> bool {
        let network = self.networks.get(&port.vni);
        let ids = network.and_then(|network| network.sites.get(&port.switch)).into_iter().flatten();
        let others = ids.filter(|id| **id != port.id).filter_map(|id| self.ports.get(id));
        others
            .filter(|other| matches!(other.role, PortRole::Access { .. }))
            .any(|other| self.leg(other).is_some())
    }

    fn macs(&self, vni: Vni) -> BTreeSet<MacAddress> {
        self.networks.get(&vni).map(Network::macs).unwrap_or_default()
    }

    pub(crate) fn sites(&self, vni: Vni) -> Vec<DatapathId> {
        let network = self.networks.get(&vni);
        network.into_iter().flat_map(|network| network.sites.keys().copied()).collect()
    }
}

/// The part of a switch in the ways to another, or how it takes what is for itself.
pub(crate) fn compile_leg(is_destination: bool, leg: Option<Leg>) -> Program {
    let mut program = Program::default();
    match leg {
        None => {}
        Some(leg) if is_destination => {
            pipeline::arrival(leg.group).into_iter().for_each(|flow| program.put_flow(flow));
        }
        Some(leg) => {
            let port = leg.next.and_then(|(_, port)| port);
            program.put_group(pipeline::destination_group_to(leg.group, port));
            program.put_flow(pipeline::transit(leg.group));
        }
    }
    program
}
