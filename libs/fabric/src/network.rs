//! What is known of a network, and what its parts compile to.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::{DatapathId, Epoch, MacAddress, Name, Vni};
use l2sces_openflow::{Flow, Program};

use crate::{
    Fabric, NetworkSpec, PortId, PortRole, PortSpec,
    pipeline::{self, Trunk},
};

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) spec: Option<NetworkSpec>,
    /// Its ports, by switch.
    pub(crate) sites: BTreeMap<DatapathId, BTreeSet<PortId>>,
    /// Its access ports, by address: of several with the same, the first has it.
    pub(crate) addresses: BTreeMap<MacAddress, BTreeSet<PortId>>,
    /// The access ports at which addresses were learned.
    pub(crate) learned: BTreeMap<MacAddress, PortId>,
    /// Where its endpoints beyond trunks are.
    pub(crate) regions: BTreeMap<MacAddress, Region>,
    /// Its trunks.
    pub(crate) trunks: BTreeSet<PortId>,
}

/// Where an endpoint beyond a trunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) name: Name,
    pub(crate) is_learned: bool,
}

/// Where a network meets a switch, as far as it can be used.
#[derive(Debug, Default)]
struct Site {
    access: BTreeSet<u32>,
    trunk: Option<Trunk>,
}

/// Where an endpoint is.
enum Location<'a> {
    Access(&'a PortSpec),
    Trunk(&'a PortSpec, Epoch),
    /// Beyond a trunk, but there is none that leads there now.
    OutOfReach,
}

impl Network {
    /// Whether nothing is wanted of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.spec.is_none() && self.sites.is_empty() && self.regions.is_empty()
    }

    /// Every address of the network.
    pub(crate) fn macs(&self) -> BTreeSet<MacAddress> {
        let local = self.addresses.keys().chain(self.learned.keys());
        local.chain(self.regions.keys()).copied().collect()
    }
}

impl Fabric {
    /// The parts that a network has in the program of one switch, but for those of its endpoints.
    pub(crate) fn compile_member(&self, vni: Vni, at: DatapathId) -> Program {
        let mut program = Program::default();
        let Some(network) = self.networks.get(&vni) else { return program };
        let epoch = self.epoch(network);
        let Some(segment) = self.segment(network, at, epoch) else { return program };
        let Some(routes) = self.routes_of(network) else { return program };
        let site = self.site(network, at, epoch);
        let others = network
            .sites
            .keys()
            .filter(|other| **other != at && self.segment(network, **other, epoch) == Some(segment))
            .filter_map(|other| routes.group(*other));
        program.put_flow(pipeline::flood(vni));
        program.put_group(pipeline::local_group_of(vni, site.access));
        program.put_group(pipeline::flood_group_of(vni, site.trunk, others, epoch));
        put_flows(&mut program, pipeline::deliver(vni, site.trunk));
        if let Some(trunk) = site.trunk {
            put_flows(&mut program, pipeline::trunk(vni, trunk));
        }
        program
    }

    /// How a switch with a part in the network forwards to one of its addresses.
    pub(crate) fn compile_entry(&self, vni: Vni, mac: MacAddress, at: DatapathId) -> Program {
        let mut program = Program::default();
        let Some(network) = self.networks.get(&vni) else { return program };
        let epoch = self.epoch(network);
        let Some(segment) = self.segment(network, at, epoch) else { return program };
        let Some(location) = self.locate(network, mac, segment, epoch) else { return program };
        let group = |switch| self.routes_of(network)?.group(switch);
        let flows = match location {
            Location::Access(port) if port.switch == at => self
                .leg(port)
                .flatten()
                .map(|port| vec![pipeline::local_destination(vni, mac, port)]),
            Location::Access(port) => group(port.switch)
                .map(|switch| vec![pipeline::remote_destination(vni, mac, switch)]),
            Location::Trunk(port, epoch) if port.switch == at => self
                .leg(port)
                .flatten()
                .map(|port| pipeline::trunk_destination(vni, mac, Trunk { port, epoch })),
            Location::Trunk(port, epoch) => group(port.switch)
                .map(|switch| pipeline::remote_trunk_destination(vni, mac, switch, epoch)),
            Location::OutOfReach => Some(vec![pipeline::no_destination(vni, mac)]),
        };
        put_flows(&mut program, flows.into_iter().flatten());
        program
    }

    /// How an access port lets frames in.
    pub(crate) fn compile_access(&self, at: DatapathId, id: &PortId) -> Program {
        let mut program = Program::default();
        let Some(port) = self.ports.get(id).filter(|port| port.switch == at) else {
            return program;
        };
        if let PortRole::Access { mac, max_learned } = port.role
            && let Some(number) = self.leg(port).flatten()
        {
            put_flows(&mut program, pipeline::access(port.vni, number, mac));
            if max_learned > 0 {
                program.put_meter(pipeline::learning_meter(number));
                program.put_flow(pipeline::learning(port.vni, number));
            }
            for mac in self.learned_at(id) {
                program.put_flow(pipeline::learned(port.vni, number, *mac, self.ageing_time));
            }
        }
        program
    }

    /// Where a network's port meets its switch: at an OpenFlow port, or at one that is not known
    /// yet. `None`: it has no part in the network.
    pub(crate) fn leg(&self, port: &PortSpec) -> Option<Option<u32>> {
        let network = self.networks.get(&port.vni)?.spec.as_ref()?;
        let slice = self.slices.get(&network.slice)?;
        if !slice.members.contains(&port.switch) || !self.owns_interface(port) {
            return None;
        }
        let place = self.switches.get(&port.switch)?.place(&port.interface)?;
        self.owns_address(port).then_some(place)
    }

    /// Of several ports that claim an interface, the one with the lowest id has it, so that the
    /// same state always means the same. Trunks are shared, and nobody may have a tunnel.
    pub(crate) fn owns_interface(&self, port: &PortSpec) -> bool {
        if matches!(port.role, PortRole::Trunk { .. }) {
            return true;
        }
        let links = self.link_ends.get(&port.switch);
        let is_link = links.is_some_and(|links| links.contains_key(&port.interface));
        let users = self.interface_ports.get(&(port.switch, port.interface.clone()));
        !is_link && users.and_then(|users| users.first()) == Some(&port.id)
    }

    /// Of several ports of a network with the same address, the one with the lowest id has it.
    pub(crate) fn owns_address(&self, port: &PortSpec) -> bool {
        let PortRole::Access { mac, .. } = port.role else { return true };
        let holders = self.networks.get(&port.vni).and_then(|network| network.addresses.get(&mac));
        holders.and_then(|holders| holders.first()) == Some(&port.id)
    }

    /// The epoch of the network's trunks that are used: the highest of those that can be.
    fn epoch(&self, network: &Network) -> Epoch {
        let trunks = network.trunks.iter().filter_map(|id| self.ports.get(id));
        let epochs = trunks.filter(|port| self.leg(port).is_some()).filter_map(trunk_epoch);
        epochs.max().unwrap_or_default()
    }

    /// The segment of a network that a switch has a part in.
    fn segment(&self, network: &Network, at: DatapathId, epoch: Epoch) -> Option<u16> {
        let ports = network.sites.get(&at)?.iter().filter_map(|id| self.ports.get(id));
        let segments = ports.filter_map(|port| match port.role {
            PortRole::Trunk { epoch: of, .. } if of != epoch => None,
            PortRole::Trunk { segment, .. } => self.leg(port).map(|_| segment),
            PortRole::Access { .. } => self.leg(port).map(|_| 0),
        });
        segments.max()
    }

    fn site(&self, network: &Network, at: DatapathId, epoch: Epoch) -> Site {
        let mut site = Site::default();
        let ids = network.sites.get(&at).into_iter().flatten();
        for port in ids.filter_map(|id| self.ports.get(id)) {
            let Some(number) = self.leg(port).flatten() else { continue };
            match port.role {
                PortRole::Access { .. } => {
                    site.access.insert(number);
                }
                PortRole::Trunk { epoch: of, .. } if of == epoch => {
                    site.trunk = Some(Trunk { port: number, epoch });
                }
                PortRole::Trunk { .. } => {}
            }
        }
        site
    }

    /// Where an address is, seen from a segment.
    fn locate<'a>(
        &'a self,
        network: &'a Network,
        mac: MacAddress,
        segment: u16,
        epoch: Epoch,
    ) -> Option<Location<'a>> {
        let holders = network.addresses.get(&mac).into_iter().flatten();
        let learned = network.learned.get(&mac);
        let mut holders = holders.chain(learned).filter_map(|id| self.ports.get(id));
        if let Some(port) = holders.find(|port| self.leg(port).is_some()) {
            return (segment == 0).then_some(Location::Access(port));
        }
        let region = network.regions.get(&mac)?;
        let trunks = network.trunks.iter().filter_map(|id| self.ports.get(id));
        let leads_there = |port: &&PortSpec| match &port.role {
            PortRole::Trunk { segment: of, epoch: in_epoch, regions } => {
                *of == segment && *in_epoch == epoch && regions.contains(&region.name)
            }
            PortRole::Access { .. } => false,
        };
        let trunk = trunks.filter(leads_there).find(|port| self.leg(port).is_some());
        Some(trunk.map_or(Location::OutOfReach, |trunk| Location::Trunk(trunk, epoch)))
    }
}

fn trunk_epoch(port: &PortSpec) -> Option<Epoch> {
    match port.role {
        PortRole::Trunk { epoch, .. } => Some(epoch),
        PortRole::Access { .. } => None,
    }
}

fn put_flows(program: &mut Program, flows: impl IntoIterator<Item = Flow>) {
    flows.into_iter().for_each(|flow| program.put_flow(flow));
}
