//! The state of the fabric, and which parts of it to compile anew after a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};
use l2sces_openflow::{GroupId, Program};

use crate::{
    EndpointSpec, LinkEnd, LinkSpec, NetworkSpec, PortId, PortRole, PortSpec, SliceSpec,
    SwitchSpec,
    network::Resolved,
    pipeline::{self, Leg},
    topology::{Routes, Topology},
};

/// Added to the cost of a link that discovery found broken: it is used only where there is no
/// other way, so that a false alarm never cuts anyone off.
const BROKEN_LINK_COST: u64 = 1 << 32;

/// What is compiled as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// What a switch has whatever its networks.
    Switch(DatapathId),
    /// The ways through a slice.
    Slice(Name),
    /// A network.
    Network(Vni),
}

/// What one call of [`Fabric::recompile`] changed.
#[derive(Debug, Default)]
pub struct Revision {
    /// For each switch with changes: the changed subjects' part of its program, before and after.
    pub programs: BTreeMap<DatapathId, (Program, Program)>,
    /// What was compiled.
    pub subjects: BTreeSet<Subject>,
}

/// Why a port has no flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no such port.
    NoPort,
    /// Its network is not known.
    NoNetwork,
    /// Its network's slice is not known.
    NoSlice,
    /// Its switch is not known, or not part of the slice.
    NotInSlice,
    /// The switch has no such interface.
    NoInterface,
    /// Another port has the interface.
    InterfaceTaken,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "no such port",
            Self::NoNetwork => "its network is not known",
            Self::NoSlice => "its network's slice is not known",
            Self::NotInSlice => "its node is not part of the slice",
            Self::NoInterface => "the switch has no such interface yet",
            Self::InterfaceTaken => "another port has the interface",
        })
    }
}

#[derive(Debug, Default)]
struct Switch {
    spec: Option<SwitchSpec>,
    /// OpenFlow port numbers, as the switch reports them.
    interfaces: BTreeMap<InterfaceName, u32>,
    /// Whether the switch has reported its ports since the fabric exists. Until then nothing is
    /// known of them, and everything wanted is taken to be there: after a restart of the
    /// controller, a switch that connects a moment later than another must not look like one that
    /// has lost its tunnels and ports.
    has_reported: bool,
}

#[derive(Debug)]
struct Slice {
    spec: SliceSpec,
    members: BTreeSet<DatapathId>,
    topology: Topology,
    routes: BTreeMap<DatapathId, Routes>,
}

#[derive(Debug, Default)]
struct Network {
    spec: Option<NetworkSpec>,
    ports: BTreeSet<PortId>,
    endpoints: BTreeMap<MacAddress, EndpointSpec>,
}

/// What must be compiled again when an interface appears or goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum InterfaceUser {
    Port(PortId),
    Slice(Name),
    Endpoint(Vni, MacAddress),
}

/// What is wanted, what is known of the switches, and the programs that follow.
#[derive(Debug, Default)]
pub struct Fabric {
    switches: BTreeMap<DatapathId, Switch>,
    slices: BTreeMap<Name, Slice>,
    networks: BTreeMap<Vni, Network>,
    ports: BTreeMap<PortId, PortSpec>,
    slice_networks: BTreeMap<Name, BTreeSet<Vni>>,
    interface_users: BTreeMap<(DatapathId, InterfaceName), BTreeSet<InterfaceUser>>,
    broken_links: BTreeSet<(LinkEnd, LinkEnd)>,
    dirty: BTreeSet<Subject>,
    compiled: BTreeMap<Subject, BTreeMap<DatapathId, Program>>,
}

impl Fabric {
    /// A fabric without anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a switch, or changes it.
    pub fn put_switch(&mut self, spec: SwitchSpec) {
        let id = spec.id;
        let switch = self.switches.entry(id).or_default();
        if switch.spec.as_ref() != Some(&spec) {
            switch.spec = Some(spec);
            self.touch_switch(id);
        }
    }

    /// Removes a switch. What is wanted on it is kept, in case it comes back.
    pub fn remove_switch(&mut self, id: DatapathId) {
        if self.switches.get_mut(&id).is_some_and(|switch| switch.spec.take().is_some()) {
            self.touch_switch(id);
        }
    }

    /// The name of a switch, for messages.
    pub fn switch_name(&self, id: DatapathId) -> Option<&str> {
        self.switches.get(&id)?.spec.as_ref().map(|spec| spec.name.as_str())
    }

    /// Tells the number of a switch's interface, or that it has none.
    pub fn set_interface(&mut self, id: DatapathId, interface: &InterfaceName, port: Option<u32>) {
        self.note_report(id);
        let interfaces = &mut self.switches.entry(id).or_default().interfaces;
        let before = match port {
            Some(port) => interfaces.insert(interface.clone(), port),
            None => interfaces.remove(interface),
        };
        if before != port {
            self.touch_interface(id, interface);
        }
    }

    /// Tells all interfaces of a switch.
    pub fn set_interfaces(&mut self, id: DatapathId, now: &BTreeMap<InterfaceName, u32>) {
        self.note_report(id);
        let before = self.switches.entry(id).or_default().interfaces.clone();
        for interface in before.keys().filter(|interface| !now.contains_key(interface)) {
            self.set_interface(id, interface, None);
        }
        for (interface, port) in now {
            self.set_interface(id, interface, Some(*port));
        }
    }

    fn note_report(&mut self, id: DatapathId) {
        let switch = self.switches.entry(id).or_default();
        if !std::mem::replace(&mut switch.has_reported, true) {
            self.touch_switch(id);
        }
    }

    /// The number of an interface, if the switch has it.
    pub fn interface(&self, id: DatapathId, interface: &InterfaceName) -> Option<u32> {
        self.switches.get(&id)?.interfaces.get(interface).copied()
    }

    /// Tells which links discovery finds broken, each in the direction from one end to the other.
    pub fn set_broken_links(&mut self, broken: BTreeSet<(LinkEnd, LinkEnd)>) {
        let before = std::mem::replace(&mut self.broken_links, broken);
        let changed: Vec<_> = before.symmetric_difference(&self.broken_links).cloned().collect();
        for (from, _) in changed {
            self.touch_interface(from.switch, &from.interface);
        }
    }

    /// The links last told to be broken.
    pub fn broken_links(&self) -> &BTreeSet<(LinkEnd, LinkEnd)> {
        &self.broken_links
    }

    /// Adds a slice, or changes it.
    pub fn put_slice(&mut self, spec: SliceSpec) {
        if self.slices.get(&spec.name).is_some_and(|slice| slice.spec == spec) {
            return;
        }
        self.touch_slice(&spec.name);
        self.forget_slice_links(&spec.name);
        for end in spec.links.iter().flat_map(|link| [&link.a, &link.b]) {
            self.interface_users
                .entry((end.switch, end.interface.clone()))
                .or_default()
                .insert(InterfaceUser::Slice(spec.name.clone()));
            self.dirty.insert(Subject::Switch(end.switch));
        }
        let name = spec.name.clone();
        let members = spec.switches.iter().copied().collect();
        let slice = Slice { spec, members, topology: Topology::default(), routes: BTreeMap::new() };
        self.slices.insert(name, slice);
    }

    /// Removes a slice. Its networks are kept, in case it comes back, but have no flows.
    pub fn remove_slice(&mut self, name: &Name) {
        self.touch_slice(name);
        self.forget_slice_links(name);
        self.slices.remove(name);
    }

    /// All links of all slices, each once.
    pub fn links(&self) -> BTreeSet<LinkSpec> {
        self.slices.values().flat_map(|slice| slice.spec.links.iter().cloned()).collect()
    }

    /// The links of a slice.
    pub fn slice_links(&self, name: &Name) -> Option<&[LinkSpec]> {
        self.slices.get(name).map(|slice| slice.spec.links.as_slice())
    }

    /// The names of the slices.
    pub fn slice_names(&self) -> impl Iterator<Item = &Name> {
        self.slices.keys()
    }

    /// Adds a network, or changes it.
    pub fn put_network(&mut self, spec: NetworkSpec) {
        let vni = spec.vni;
        let network = self.networks.entry(vni).or_default();
        if network.spec.as_ref() == Some(&spec) {
            return;
        }
        if let Some(before) = network.spec.replace(spec.clone())
            && let Some(networks) = self.slice_networks.get_mut(&before.slice)
        {
            networks.remove(&vni);
        }
        self.slice_networks.entry(spec.slice).or_default().insert(vni);
        self.dirty.insert(Subject::Network(vni));
    }

    /// Removes a network. Its ports are kept, in case it comes back, but have no flows.
    pub fn remove_network(&mut self, vni: Vni) {
        let Some(spec) = self.networks.get_mut(&vni).and_then(|network| network.spec.take()) else {
            return;
        };
        if let Some(networks) = self.slice_networks.get_mut(&spec.slice) {
            networks.remove(&vni);
        }
        self.dirty.insert(Subject::Network(vni));
    }

    /// The ports of a network.
    pub fn network_ports(&self, vni: Vni) -> impl Iterator<Item = &PortId> {
        self.networks.get(&vni).into_iter().flat_map(|network| &network.ports)
    }

    /// Whether a network has been put.
    pub fn has_network(&self, vni: Vni) -> bool {
        self.networks.get(&vni).is_some_and(|network| network.spec.is_some())
    }

    /// Adds a port, or changes it.
    pub fn put_port(&mut self, spec: PortSpec) {
        if self.ports.get(&spec.id) == Some(&spec) {
            return;
        }
        self.remove_port(&spec.id);
        self.interface_users
            .entry((spec.switch, spec.interface.clone()))
            .or_default()
            .insert(InterfaceUser::Port(spec.id.clone()));
        self.networks.entry(spec.vni).or_default().ports.insert(spec.id.clone());
        self.dirty.insert(Subject::Network(spec.vni));
        self.ports.insert(spec.id.clone(), spec);
    }

    /// Removes a port.
    pub fn remove_port(&mut self, id: &PortId) {
        let Some(spec) = self.ports.remove(id) else { return };
        self.forget_user(spec.switch, &spec.interface, &InterfaceUser::Port(id.clone()));
        if let Some(network) = self.networks.get_mut(&spec.vni) {
            network.ports.remove(id);
        }
        // Whoever waited for the interface can have it now.
        self.touch_interface(spec.switch, &spec.interface);
        self.dirty.insert(Subject::Network(spec.vni));
    }

    /// A port that has been put.
    pub fn port(&self, id: &PortId) -> Option<&PortSpec> {
        self.ports.get(id)
    }

    /// Adds an endpoint behind a trunk, or moves it.
    pub fn put_endpoint(&mut self, spec: EndpointSpec) {
        let known = self.networks.get(&spec.vni).and_then(|known| known.endpoints.get(&spec.mac));
        if known == Some(&spec) {
            return;
        }
        self.remove_endpoint(spec.vni, spec.mac);
        self.interface_users
            .entry((spec.switch, spec.interface.clone()))
            .or_default()
            .insert(InterfaceUser::Endpoint(spec.vni, spec.mac));
        self.dirty.insert(Subject::Network(spec.vni));
        self.networks.entry(spec.vni).or_default().endpoints.insert(spec.mac, spec);
    }

    /// Removes an endpoint behind a trunk.
    pub fn remove_endpoint(&mut self, vni: Vni, mac: MacAddress) {
        let Some(network) = self.networks.get_mut(&vni) else { return };
        let Some(spec) = network.endpoints.remove(&mac) else { return };
        self.forget_user(spec.switch, &spec.interface, &InterfaceUser::Endpoint(vni, mac));
        self.dirty.insert(Subject::Network(vni));
    }

    /// Why a port has no flows; `None`: it has.
    pub fn problem(&self, id: &PortId) -> Option<Problem> {
        let Some(port) = self.ports.get(id) else { return Some(Problem::NoPort) };
        let Some(network) = self.networks.get(&port.vni).and_then(|network| network.spec.as_ref())
        else {
            return Some(Problem::NoNetwork);
        };
        let Some(slice) = self.slices.get(&network.slice) else { return Some(Problem::NoSlice) };
        if self.switch_name(port.switch).is_none() || !slice.members.contains(&port.switch) {
            return Some(Problem::NotInSlice);
        }
        if self.interface(port.switch, &port.interface).is_none() {
            return Some(Problem::NoInterface);
        }
        (!self.owns_interface(port)).then_some(Problem::InterfaceTaken)
    }

    /// Everything that is compiled.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let switches = self.switches.keys().copied().map(Subject::Switch);
        let slices = self.slices.keys().cloned().map(Subject::Slice);
        switches.chain(slices).chain(self.networks.keys().copied().map(Subject::Network))
    }

    /// The slices that have a switch, and the networks with a port on it.
    pub fn subjects_on(&self, id: DatapathId) -> BTreeSet<Subject> {
        let slices = self.slices.iter().filter(|(_, slice)| slice.members.contains(&id));
        let ports = self.ports.values().filter(|port| port.switch == id);
        slices
            .map(|(name, _)| Subject::Slice(name.clone()))
            .chain(ports.map(|port| Subject::Network(port.vni)))
            .collect()
    }

    /// Compiles what has changed since the last call.
    pub fn recompile(&mut self) -> Revision {
        let mut revision = Revision::default();
        // In this order, since networks need the ways of their slices.
        for subject in std::mem::take(&mut self.dirty) {
            let after = match &subject {
                Subject::Switch(id) => self.compile_switch(*id),
                Subject::Slice(name) => self.compile_slice(&name.clone()),
                Subject::Network(vni) => self.compile_network(*vni),
            };
            let before = if after.is_empty() {
                self.compiled.remove(&subject)
            } else {
                self.compiled.insert(subject.clone(), after.clone())
            };
            revision.note(before.unwrap_or_default(), after);
            revision.subjects.insert(subject);
        }
        self.networks.retain(|_, network| {
            network.spec.is_some() || !network.ports.is_empty() || !network.endpoints.is_empty()
        });
        revision
    }

    /// The whole program of a switch, as of the last [`recompile`](Self::recompile).
    pub fn program(&self, id: DatapathId) -> Program {
        let mut whole = Program::default();
        for part in self.compiled.values().filter_map(|programs| programs.get(&id)) {
            merge(&mut whole, part.clone());
        }
        whole
    }

    /// Of several ports that claim an interface, the one with the lowest id has it, so that the same
    /// state always means the same. Trunks are shared, and nobody may have a tunnel.
    fn owns_interface(&self, port: &PortSpec) -> bool {
        if port.role == PortRole::Trunk {
            return true;
        }
        let users = self.interface_users.get(&(port.switch, port.interface.clone()));
        let first = users.into_iter().flatten().next();
        first == Some(&InterfaceUser::Port(port.id.clone()))
            && users.is_some_and(|users| {
                users.iter().all(|user| matches!(user, InterfaceUser::Port(_)))
            })
    }

    fn compile_switch(&self, id: DatapathId) -> BTreeMap<DatapathId, Program> {
        if self.switch_name(id).is_none() {
            return BTreeMap::new();
        }
        let mut program: Program = pipeline::base().into_iter().collect();
        for end in
            self.slices.values().flat_map(|slice| &slice.spec.links).flat_map(|l| [&l.a, &l.b])
        {
            if end.switch == id
                && let Some(port) = self.interface(id, &end.interface)
            {
                program.put_flow(pipeline::discovery(port));
            }
        }
        BTreeMap::from([(id, program)])
    }

    fn compile_slice(&mut self, name: &Name) -> BTreeMap<DatapathId, Program> {
        let Some(slice) = self.slices.get(name) else { return BTreeMap::new() };
        let topology = self.topology(slice);
        let known: Vec<_> = slice
            .spec
            .switches
            .iter()
            .filter_map(|id| self.switches.get(id)?.spec.as_ref())
            .collect();
        let mut routes = BTreeMap::new();
        let mut programs: BTreeMap<DatapathId, Program> = BTreeMap::new();
        for destination in &known {
            let to = topology.routes_to(destination.id);
            let group = pipeline::destination_group(slice.spec.ordinal, destination.ordinal);
            for switch in known.iter().filter(|switch| switch.id != destination.id) {
                let next_hop = to.get(&switch.id).and_then(|edge| edge.port);
                let group = pipeline::destination_group_to(group, next_hop);
                programs.entry(switch.id).or_default().put_group(group);
            }
            routes.insert(destination.id, to);
        }
        if let Some(slice) = self.slices.get_mut(name) {
            slice.topology = topology;
            slice.routes = routes;
        }
        programs
    }

    /// The usable graph of a slice: links between known switches that have both tunnels, as far as
    /// is known.
    fn topology(&self, slice: &Slice) -> Topology {
        let mut topology = Topology::default();
        let end = |end: &LinkEnd| {
            let known = self.switches.get(&end.switch).filter(|switch| switch.spec.is_some())?;
            let port = known.interfaces.get(&end.interface).copied();
            let usable = port.is_some() || !known.has_reported;
            (usable && slice.members.contains(&end.switch)).then_some((end.switch, port))
        };
        for link in &slice.spec.links {
            if let (Some(a), Some(b)) = (end(&link.a), end(&link.b)) {
                let broken = self.broken_links.contains(&(link.a.clone(), link.b.clone()))
                    || self.broken_links.contains(&(link.b.clone(), link.a.clone()));
                let cost = u64::from(link.cost) + if broken { BROKEN_LINK_COST } else { 0 };
                topology.link(a, b, cost);
            }
        }
        topology
    }

    fn compile_network(&self, vni: Vni) -> BTreeMap<DatapathId, Program> {
        let Some(network) = self.networks.get(&vni) else { return BTreeMap::new() };
        let Some(slice) = network.spec.as_ref().and_then(|spec| self.slices.get(&spec.slice))
        else {
            return BTreeMap::new();
        };
        let mut legs: BTreeMap<DatapathId, BTreeSet<Leg>> = BTreeMap::new();
        let mut endpoints = BTreeMap::new();
        for spec in network.endpoints.values() {
            if let Some(port) = self.place(spec.switch, &spec.interface, &slice.members) {
                endpoints.insert(spec.mac, (spec.switch, port.map(Leg::Trunk)));
            }
        }
        for spec in network.ports.iter().filter_map(|id| self.ports.get(id)) {
            if !self.owns_interface(spec) {
                continue;
            }
            let Some(port) = self.place(spec.switch, &spec.interface, &slice.members) else {
                continue;
            };
            let leg = match spec.role {
                PortRole::Access { mac } => {
                    endpoints.insert(mac, (spec.switch, port.map(Leg::Access)));
                    port.map(Leg::Access)
                }
                PortRole::Trunk => port.map(Leg::Trunk),
            };
            legs.entry(spec.switch).or_default().extend(leg);
        }
        // An endpoint behind a trunk that the network may not use cannot be reached.
        endpoints.retain(|_, (switch, leg)| {
            legs.get(switch).is_some_and(|legs| leg.is_none_or(|leg| legs.contains(&leg)))
        });
        let destination_group = |id: DatapathId| self.destination_group(&slice.spec, id);
        Resolved {
            vni,
            topology: &slice.topology,
            routes: &slice.routes,
            destination_group: &destination_group,
            legs,
            endpoints,
        }
        .compile()
    }

    /// Where an interface of a slice's switch is: at a port, or at one that is not known yet
    /// because the switch has not reported its ports. `None`: nowhere.
    fn place(
        &self,
        id: DatapathId,
        interface: &InterfaceName,
        members: &BTreeSet<DatapathId>,
    ) -> Option<Option<u32>> {
        let switch = self.switches.get(&id).filter(|switch| switch.spec.is_some())?;
        let port = switch.interfaces.get(interface).copied();
        (members.contains(&id) && (port.is_some() || !switch.has_reported)).then_some(port)
    }

    fn destination_group(&self, slice: &SliceSpec, id: DatapathId) -> Option<GroupId> {
        let switch = self.switches.get(&id)?.spec.as_ref()?;
        Some(pipeline::destination_group(slice.ordinal, switch.ordinal))
    }

    fn touch_slice(&mut self, name: &Name) {
        self.dirty.insert(Subject::Slice(name.clone()));
        let networks = self.slice_networks.get(name).into_iter().flatten();
        self.dirty.extend(networks.map(|vni| Subject::Network(*vni)));
    }

    fn touch_switch(&mut self, id: DatapathId) {
        self.dirty.insert(Subject::Switch(id));
        let slices: Vec<_> = self
            .slices
            .values()
            .filter(|slice| slice.members.contains(&id))
            .map(|slice| slice.spec.name.clone())
            .collect();
        slices.iter().for_each(|name| self.touch_slice(name));
    }

    fn touch_interface(&mut self, id: DatapathId, interface: &InterfaceName) {
        let users = self.interface_users.get(&(id, interface.clone())).cloned().unwrap_or_default();
        for user in users {
            match user {
                InterfaceUser::Slice(name) => {
                    self.dirty.insert(Subject::Switch(id));
                    self.touch_slice(&name);
                }
                InterfaceUser::Port(port) => {
                    self.dirty.extend(self.ports.get(&port).map(|port| Subject::Network(port.vni)));
                }
                InterfaceUser::Endpoint(vni, _) => {
                    self.dirty.insert(Subject::Network(vni));
                }
            }
        }
    }

    fn forget_slice_links(&mut self, name: &Name) {
        let Some(slice) = self.slices.get(name) else { return };
        let links = slice.spec.links.clone();
        for end in links.iter().flat_map(|link| [&link.a, &link.b]) {
            self.dirty.insert(Subject::Switch(end.switch));
            self.forget_user(end.switch, &end.interface, &InterfaceUser::Slice(name.clone()));
        }
    }

    fn forget_user(&mut self, id: DatapathId, interface: &InterfaceName, user: &InterfaceUser) {
        let key = (id, interface.clone());
        if let Some(users) = self.interface_users.get_mut(&key) {
            users.remove(user);
            if users.is_empty() {
                self.interface_users.remove(&key);
            }
        }
    }
}

impl Revision {
    /// Notes one subject's programs before and after, where they differ.
    fn note(
        &mut self,
        before: BTreeMap<DatapathId, Program>,
        mut after: BTreeMap<DatapathId, Program>,
    ) {
        for (id, before) in before {
            let after = after.remove(&id).unwrap_or_default();
            if before != after {
                let (whole_before, whole_after) = self.programs.entry(id).or_default();
                merge(whole_before, before);
                merge(whole_after, after);
            }
        }
        for (id, after) in after {
            merge(&mut self.programs.entry(id).or_default().1, after);
        }
    }
}

fn merge(whole: &mut Program, part: Program) {
    whole.flows.extend(part.flows);
    whole.groups.extend(part.groups);
}
