//! The state of the fabric: what is wanted, and what is known of the switches.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};
use l2sces_openflow::GroupId;

use crate::{
    AgeingTime, EndpointSpec, LinkEnd, LinkSpec, NetworkSpec, PortId, PortRole, PortSpec,
    SliceSpec, Subject, SwitchSpec,
    graph::{Cost, Graph, Node},
    network::{Network, Region},
    parts::Pending,
    pipeline,
    routes::{Former, Routes, Vertex},
    slice::{HeldHops, Slice},
    switch::{Switch, is_connected},
};

/// Added to the cost of going through a switch that is to be spared: any way around it is taken.
const SPARED_SWITCH_COST: Cost = 1 << 31;
/// Added to the cost of a link that was found broken: it is used only where there is no other way,
/// so that a false alarm never cuts anyone off.
const BROKEN_LINK_COST: Cost = 1 << 44;

/// What is wanted, what is known of the switches, and the programs that follow.
#[derive(Debug, Default)]
pub struct Fabric {
    pub(crate) switches: BTreeMap<DatapathId, Switch>,
    pub(crate) slices: BTreeMap<Name, Slice>,
    pub(crate) networks: BTreeMap<Vni, Network>,
    pub(crate) ports: BTreeMap<PortId, PortSpec>,
    pub(crate) ports_on: BTreeMap<DatapathId, BTreeSet<PortId>>,
    /// The addresses that were learned at each port.
    pub(crate) learned: BTreeMap<PortId, BTreeSet<MacAddress>>,
    slice_networks: BTreeMap<Name, BTreeSet<Vni>>,
    /// The slices that have each switch.
    slices_with: BTreeMap<DatapathId, BTreeSet<Name>>,
    /// The slices that use each tunnel.
    pub(crate) link_ends: BTreeMap<DatapathId, BTreeMap<InterfaceName, BTreeSet<Name>>>,
    pub(crate) interface_ports: BTreeMap<(DatapathId, InterfaceName), BTreeSet<PortId>>,
    broken_links: BTreeSet<(LinkEnd, LinkEnd)>,
    pub(crate) ageing_time: AgeingTime,
    pub(crate) pending: Pending,
}

impl Fabric {
    /// A fabric without anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, in which learned addresses are forgotten after another time.
    #[must_use]
    pub fn with_ageing_time(self, ageing_time: AgeingTime) -> Self {
        Self { ageing_time, ..self }
    }

    /// Adds a switch, or changes it.
    pub fn put_switch(&mut self, spec: SwitchSpec) {
        let id = spec.id;
        if self.switches.get(&id).and_then(|switch| switch.spec.as_ref()) != Some(&spec) {
            self.change_switch(id, |switch| switch.spec = Some(spec));
        }
    }

    /// Removes a switch. What is wanted on it is kept, in case it comes back.
    pub fn remove_switch(&mut self, id: DatapathId) {
        if self.switch_name(id).is_some() {
            self.change_switch(id, |switch| switch.spec = None);
        }
    }

    /// The switches that have been put.
    pub fn switch_ids(&self) -> impl Iterator<Item = DatapathId> {
        let put = self.switches.iter().filter(|(_, switch)| switch.spec.is_some());
        put.map(|(id, _)| *id)
    }

    /// The name of a switch, for messages.
    pub fn switch_name(&self, id: DatapathId) -> Option<&str> {
        self.switches.get(&id)?.spec.as_ref().map(|spec| spec.name.as_str())
    }

    /// The cluster and the node that a switch is on.
    pub fn switch_node(&self, id: DatapathId) -> Option<(&Name, &Name)> {
        self.switches.get(&id)?.spec.as_ref().map(|spec| (&spec.cluster, &spec.node))
    }

    /// Tells the number of a switch's interface, or that it has none.
    pub fn set_interface(&mut self, id: DatapathId, interface: &InterfaceName, port: Option<u32>) {
        if self.interface(id, interface) == port && self.has_reported(id) {
            return;
        }
        let change = |switch: &mut Switch| match port {
            Some(port) => switch.interfaces.insert(interface.clone(), port),
            None => switch.interfaces.remove(interface),
        };
        if !self.has_reported(id) {
            self.change_switch(id, |switch| {
                switch.has_reported = true;
                change(switch);
            });
            return;
        }
        self.note_interface(id, interface);
        let users = self.link_users(id, interface);
        if !users.is_empty() {
            self.note_switch(id);
        }
        change(self.switches.entry(id).or_default());
        users.iter().for_each(|slice| self.refresh(slice));
    }

    /// Tells all interfaces of a switch.
    pub fn set_interfaces(&mut self, id: DatapathId, now: &BTreeMap<InterfaceName, u32>) {
        let switch = self.switches.entry(id).or_default();
        if switch.has_reported && switch.interfaces == *now {
            return;
        }
        self.change_switch(id, |switch| {
            switch.has_reported = true;
            switch.interfaces.clone_from(now);
        });
    }

    /// The number of an interface, if the switch has it.
    pub fn interface(&self, id: DatapathId, interface: &InterfaceName) -> Option<u32> {
        self.switches.get(&id)?.interfaces.get(interface).copied()
    }

    fn has_reported(&self, id: DatapathId) -> bool {
        self.switches.get(&id).is_some_and(|switch| switch.has_reported)
    }

    /// Tells that a switch is connected, and has what [`program`](Self::program) says: from now on
    /// it can be changed.
    pub fn set_connected(&mut self, id: DatapathId) {
        if std::mem::replace(&mut self.switches.entry(id).or_default().connected, true) {
            return;
        }
        self.change_ways_through(id, |slice, notes| {
            slice.held.remove(&id)?;
            Some(slice.routes.release(id, &slice.held, notes))
        });
    }

    /// Tells that a switch is not connected any more. It goes on with what it has: no way counts on
    /// it doing anything else until it is back, and its own changes are left out. Of the
    /// destination groups in `unconfirmed` it is not known what they are, so that nobody's way
    /// leads through it by them.
    pub fn set_disconnected(&mut self, id: DatapathId, unconfirmed: &BTreeSet<GroupId>) {
        let switch = self.switches.entry(id).or_default();
        if !std::mem::replace(&mut switch.connected, false) {
            return;
        }
        self.change_ways_through(id, |slice, notes| {
            let hops = slice.routes.hops_of(id);
            let (known, unknown): (HeldHops, HeldHops) = hops.into_iter().partition(|(to, _)| {
                slice.routes.group(*to).is_none_or(|group| !unconfirmed.contains(&group))
            });
            slice.held.insert(id, known);
            Some(slice.routes.distrust(unknown.into_keys(), &slice.held, notes))
        });
    }

    /// Changes the ways of the slices that have a switch.
    fn change_ways_through(
        &mut self,
        id: DatapathId,
        change: impl Fn(&mut Slice, &dyn Fn(DatapathId) -> bool) -> Option<Former>,
    ) {
        for name in self.slices_with.get(&id).cloned().unwrap_or_default() {
            let switches = &self.switches;
            let notes = |at| is_connected(switches, at);
            let slice = self.slices.get_mut(&name);
            if let Some(former) = slice.and_then(|slice| change(slice, &notes)) {
                self.note_legs(&name, former);
            }
        }
    }

    /// Tells which links are broken, each in the direction from one end to the other.
    pub fn set_broken_links(&mut self, broken: BTreeSet<(LinkEnd, LinkEnd)>) {
        let before = std::mem::replace(&mut self.broken_links, broken);
        let changed = before.symmetric_difference(&self.broken_links);
        let slices: BTreeSet<_> =
            changed.flat_map(|(from, _)| self.link_users(from.switch, &from.interface)).collect();
        slices.iter().for_each(|slice| self.refresh(slice));
    }

    /// The links last told to be broken.
    pub fn broken_links(&self) -> &BTreeSet<(LinkEnd, LinkEnd)> {
        &self.broken_links
    }

    /// Adds a slice, or changes it: the new ways are taken as one change.
    pub fn put_slice(&mut self, spec: SliceSpec) {
        let name = spec.name.clone();
        let before = self.slices.get(&name).map(|slice| slice.spec.clone());
        if before.as_ref() == Some(&spec) {
            return;
        }
        self.note_slice_change(&name, before.as_ref(), Some(&spec));
        self.index_slice(before.as_ref(), Some(&spec));
        match self.slices.get_mut(&name) {
            Some(slice) => {
                slice.members = spec.switches.iter().copied().collect();
                slice.spec = spec;
            }
            None => {
                self.slices.insert(name.clone(), Slice::new(spec));
            }
        }
        self.refresh(&name);
    }

    /// Removes a slice. Its networks are kept, in case it comes back, but have no flows.
    pub fn remove_slice(&mut self, name: &Name) {
        let Some(before) = self.slices.get(name).map(|slice| slice.spec.clone()) else { return };
        self.note_slice_change(name, Some(&before), None);
        self.index_slice(Some(&before), None);
        if let Some(mut slice) = self.slices.remove(name) {
            let switches = &self.switches;
            let notes = |at| is_connected(switches, at);
            let former =
                slice.routes.update(Vec::new(), Graph::default(), &BTreeMap::new(), &notes);
            self.note_legs(name, former);
        }
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
        if self.networks.get(&vni).and_then(|network| network.spec.as_ref()) == Some(&spec) {
            return;
        }
        self.note_network(vni);
        self.slice_networks.entry(spec.slice.clone()).or_default().insert(vni);
        if let Some(before) = self.networks.entry(vni).or_default().spec.replace(spec) {
            self.forget_slice_network(&before);
        }
    }

    /// Removes a network. Its ports are kept, in case it comes back, but have no flows.
    pub fn remove_network(&mut self, vni: Vni) {
        self.note_network(vni);
        let Some(network) = self.networks.get_mut(&vni) else { return };
        if let Some(before) = network.spec.take() {
            self.forget_slice_network(&before);
        }
    }

    /// The ports of a network.
    pub fn network_ports(&self, vni: Vni) -> impl Iterator<Item = &PortId> {
        self.networks.get(&vni).into_iter().flat_map(|network| network.sites.values().flatten())
    }

    /// Whether a network has been put.
    pub fn has_network(&self, vni: Vni) -> bool {
        self.networks.get(&vni).is_some_and(|network| network.spec.is_some())
    }

    /// Adds a port, or changes it. What was learned at it is forgotten, unless only its own address
    /// or its limit is another; and what was learned elsewhere and is its own address.
    pub fn put_port(&mut self, spec: PortSpec) {
        if self.ports.get(&spec.id) == Some(&spec) {
            return;
        }
        let learned = self.learned_to_keep(&spec);
        self.remove_port(&spec.id);
        if let PortRole::Access { mac, .. } = spec.role {
            self.forget_learned(spec.vni, mac);
        }
        self.note_port(&spec);
        let id = spec.id.clone();
        self.interface_ports
            .entry((spec.switch, spec.interface.clone()))
            .or_default()
            .insert(id.clone());
        self.ports_on.entry(spec.switch).or_default().insert(id.clone());
        let network = self.networks.entry(spec.vni).or_default();
        network.sites.entry(spec.switch).or_default().insert(id.clone());
        match spec.role {
            PortRole::Access { mac, .. } => {
                network.addresses.entry(mac).or_default().insert(id.clone());
            }
            PortRole::Trunk { .. } => {
                network.trunks.insert(id.clone());
            }
        }
        self.ports.insert(id.clone(), spec);
        learned.into_iter().for_each(|mac| self.learn(&id, mac));
    }

    /// Removes a port.
    pub fn remove_port(&mut self, id: &PortId) {
        let Some(spec) = self.ports.get(id).cloned() else { return };
        for mac in self.learned_at(id).clone() {
            self.forget_learned(spec.vni, mac);
        }
        self.note_port(&spec);
        self.ports.remove(id);
        withdraw(&mut self.interface_ports, &(spec.switch, spec.interface), id);
        withdraw(&mut self.ports_on, &spec.switch, id);
        let Some(network) = self.networks.get_mut(&spec.vni) else { return };
        withdraw(&mut network.sites, &spec.switch, id);
        match spec.role {
            PortRole::Access { mac, .. } => withdraw(&mut network.addresses, &mac, id),
            PortRole::Trunk { .. } => {
                network.trunks.remove(id);
            }
        }
    }

    /// A port that has been put.
    pub fn port(&self, id: &PortId) -> Option<&PortSpec> {
        self.ports.get(id)
    }

    /// Adds an endpoint beyond a trunk, or moves it. If its address was learned here, it has moved
    /// there.
    pub fn put_endpoint(&mut self, spec: EndpointSpec) {
        let EndpointSpec { vni, mac, region, is_learned } = spec;
        let region = Region { name: region, is_learned };
        let known = self.networks.get(&vni).and_then(|network| network.regions.get(&mac));
        if known == Some(&region) {
            return;
        }
        self.forget_learned(vni, mac);
        self.note_address(vni, mac);
        self.networks.entry(vni).or_default().regions.insert(mac, region);
    }

    /// Removes an endpoint beyond a trunk.
    pub fn remove_endpoint(&mut self, vni: Vni, mac: MacAddress) {
        self.note_address(vni, mac);
        if let Some(network) = self.networks.get_mut(&vni) {
            network.regions.remove(&mac);
        }
    }

    /// Everything that is compiled.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let switches = self.switches.keys().copied().map(Subject::Switch);
        let slices = self.slices.keys().cloned().map(Subject::Slice);
        switches.chain(slices).chain(self.networks.keys().copied().map(Subject::Network))
    }

    /// The slices that have a switch, and the networks with a port on it.
    pub fn subjects_on(&self, id: DatapathId) -> BTreeSet<Subject> {
        let slices = self.slices_with.get(&id).into_iter().flatten().cloned();
        let ids = self.ports_on.get(&id).into_iter().flatten();
        let vnis = ids.filter_map(|id| self.ports.get(id)).map(|port| port.vni);
        slices.map(Subject::Slice).chain(vnis.map(Subject::Network)).collect()
    }

    pub(crate) fn routes_of(&self, network: &Network) -> Option<&Routes> {
        Some(&self.slices.get(&network.spec.as_ref()?.slice)?.routes)
    }

    fn link_users(&self, id: DatapathId, interface: &InterfaceName) -> BTreeSet<Name> {
        let ends = self.link_ends.get(&id);
        ends.and_then(|ends| ends.get(interface)).cloned().unwrap_or_default()
    }

    /// Changes a switch in a way that concerns everything on it.
    fn change_switch(&mut self, id: DatapathId, change: impl FnOnce(&mut Switch)) {
        self.note_switch(id);
        self.note_ports_on(id, |_| true);
        change(self.switches.entry(id).or_default());
        for slice in self.slices_with.get(&id).cloned().unwrap_or_default() {
            self.refresh(&slice);
        }
    }

    /// Notes what a change of a slice's switches and links concerns, beside its ways.
    fn note_slice_change(
        &mut self,
        name: &Name,
        before: Option<&SliceSpec>,
        after: Option<&SliceSpec>,
    ) {
        let switches = |spec: Option<&SliceSpec>| -> BTreeSet<DatapathId> {
            spec.into_iter().flat_map(|spec| spec.switches.iter().copied()).collect()
        };
        let links = |spec: Option<&SliceSpec>| -> BTreeSet<LinkEnd> {
            let links = spec.into_iter().flat_map(|spec| &spec.links);
            links.flat_map(|link| [link.a.clone(), link.b.clone()]).collect()
        };
        let (links_before, links_after) = (links(before), links(after));
        for end in links_before.symmetric_difference(&links_after) {
            self.note_switch(end.switch);
            self.note_interface(end.switch, &end.interface);
        }
        let is_measured = |spec: Option<&SliceSpec>| spec.is_some_and(|spec| spec.is_measured);
        if is_measured(before) != is_measured(after) {
            links_before.union(&links_after).for_each(|end| self.note_switch(end.switch));
        }
        let is_same = before.zip(after).is_some_and(|(a, b)| a.ordinal == b.ordinal);
        let networks = self.slice_networks.get(name).cloned().unwrap_or_default();
        if !is_same {
            networks.iter().for_each(|vni| self.note_network(*vni));
            return;
        }
        for at in switches(before).symmetric_difference(&switches(after)) {
            self.note_ports_on(*at, |vni| networks.contains(&vni));
        }
    }

    fn index_slice(&mut self, before: Option<&SliceSpec>, after: Option<&SliceSpec>) {
        if let Some(before) = before {
            for id in &before.switches {
                withdraw(&mut self.slices_with, id, &before.name);
            }
            for end in before.links.iter().flat_map(|link| [&link.a, &link.b]) {
                if let Some(ends) = self.link_ends.get_mut(&end.switch) {
                    withdraw(ends, &end.interface, &before.name);
                }
            }
        }
        if let Some(after) = after {
            for id in &after.switches {
                self.slices_with.entry(*id).or_default().insert(after.name.clone());
            }
            for end in after.links.iter().flat_map(|link| [&link.a, &link.b]) {
                let ends = self.link_ends.entry(end.switch).or_default();
                ends.entry(end.interface.clone()).or_default().insert(after.name.clone());
            }
        }
    }

    fn forget_slice_network(&mut self, spec: &NetworkSpec) {
        let wanted = self.networks.get(&spec.vni).and_then(|network| network.spec.as_ref());
        if wanted.is_none_or(|wanted| wanted.slice != spec.slice) {
            withdraw(&mut self.slice_networks, &spec.slice, &spec.vni);
        }
    }

    /// Computes the ways of a slice anew, where they are concerned.
    fn refresh(&mut self, name: &Name) {
        let Some(slice) = self.slices.get(name) else { return };
        let vertices = self.vertices(slice);
        let graph = self.graph(slice, &vertices);
        let Some(slice) = self.slices.get_mut(name) else { return };
        let switches = &self.switches;
        let notes = |at| is_connected(switches, at);
        let former = slice.routes.update(vertices, graph, &slice.held, &notes);
        self.note_legs(name, former);
    }

    /// The known switches of a slice.
    fn vertices(&self, slice: &Slice) -> Vec<Vertex> {
        let known = slice.members.iter().filter_map(|id| {
            let spec = self.switches.get(id)?.spec.as_ref()?;
            let group = pipeline::destination_group(slice.spec.ordinal, spec.ordinal);
            Some(Vertex { id: *id, group })
        });
        known.collect()
    }

    /// The links between known switches that have both tunnels, as far as is known.
    fn graph(&self, slice: &Slice, vertices: &[Vertex]) -> Graph {
        let spared = |id| slice.spec.avoid_transit.contains(&id);
        let transit = |vertex: &Vertex| if spared(vertex.id) { SPARED_SWITCH_COST } else { 0 };
        let mut graph = Graph::new(vertices.iter().map(transit).collect());
        let end = |end: &LinkEnd| {
            let node = vertices.binary_search_by_key(&end.switch, |vertex| vertex.id).ok()?;
            let port = self.switches.get(&end.switch)?.place(&end.interface)?;
            Some((node as Node, port))
        };
        for link in &slice.spec.links {
            if let (Some(a), Some(b)) = (end(&link.a), end(&link.b)) {
                let is_broken = self.broken_links.contains(&(link.a.clone(), link.b.clone()))
                    || self.broken_links.contains(&(link.b.clone(), link.a.clone()));
                let broken = if is_broken { BROKEN_LINK_COST } else { 0 };
                graph.link(a, b, Cost::from(link.cost.max(1)) + broken);
            }
        }
        graph
    }
}

/// Takes a value out of the set at a key, and the key if nothing is left of it.
fn withdraw<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
