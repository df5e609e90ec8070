//! What is known of a network, and what its parts compile to.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::{DatapathId, Epoch, MacAddress, Name, Vni};
use l2sces_openflow::{Flow, Program};

use crate::{
    Fabric, NetworkSpec, PortId, PortRole, PortSpec,
    pipeline::{self, OfPlan, Trunk},
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

/// What a switch has of one of a network's plans.
struct PlanPart {
    frames: OfPlan,
    /// Which part of the network it belongs to by this plan.
    segment: u16,
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
        let Some(routes) = self.routes_of(network) else { return program };
        let parts = self.plan_parts(network, at);
        if parts.is_empty() {
            return program;
        }
        program.put_group(pipeline::local_group_of(vni, self.access_ports(network, at)));
        program.put_flow(pipeline::deliver(vni));
        for PlanPart { frames, segment } in parts {
            let epoch = frames.epoch;
            let others = network.sites.keys().filter(|other| {
                **other != at && self.segment(network, **other, epoch) == Some(segment)
            });
            let others = others.filter_map(|other| routes.group(*other));
            let trunk = self.trunk(network, at, epoch);
            program.put_group(pipeline::flood_group_of(vni, trunk, others, epoch));
            put_flows(&mut program, pipeline::flood(vni, frames));
            if let Some(trunk) = trunk {
                put_flows(&mut program, pipeline::trunk(vni, trunk));
                program.put_flow(pipeline::deliver_to_trunk(vni, trunk));
            }
        }
        program
    }

    /// How a switch with a part in the network forwards to one of its addresses.
    pub(crate) fn compile_entry(&self, vni: Vni, mac: MacAddress, at: DatapathId) -> Program {
        let mut program = Program::default();
        let Some(network) = self.networks.get(&vni) else { return program };
        let parts = self.plan_parts(network, at);
        let group = |switch| self.routes_of(network)?.group(switch);
        if let Some(port) = self.access_to(network, mac) {
            let flow = if port.switch == at {
                let number = self.leg(port).flatten();
                number.map(|number| pipeline::local_destination(vni, mac, number))
            } else {
                group(port.switch).map(|switch| pipeline::remote_destination(vni, mac, switch))
            };
            // Whatever plan a frame has come by, there is one way to an access port.
            put_flows(&mut program, flow.filter(|_| parts.iter().any(|part| part.segment == 0)));
            return program;
        }
        let Some(region) = network.regions.get(&mac) else { return program };
        for PlanPart { frames, segment } in parts {
            let flows = match self.trunk_towards(network, &region.name, segment, frames.epoch) {
                Some(port) if port.switch == at => self
                    .leg(port)
                    .flatten()
                    .map(|number| pipeline::trunk_destination(vni, mac, frames, number)),
                Some(port) => group(port.switch)
                    .map(|switch| pipeline::remote_trunk_destination(vni, mac, frames, switch)),
                None => frames.is_current.then(|| vec![pipeline::no_destination(vni, mac)]),
            };
            put_flows(&mut program, flows.into_iter().flatten());
        }
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

    /// What a switch has of each of a network's plans that it has a part in.
    fn plan_parts(&self, network: &Network, at: DatapathId) -> Vec<PlanPart> {
        let trunks = || self.trunks(network);
        let current = trunks().filter(|(_, is_current, _)| *is_current);
        let current = current.map(|(epoch, ..)| epoch).max().unwrap_or_default();
        let epochs: BTreeSet<Epoch> = trunks().map(|(epoch, ..)| epoch).chain([current]).collect();
        let parts = epochs.into_iter().filter_map(|epoch| {
            let segment = self.segment(network, at, epoch)?;
            let frames = OfPlan { epoch, is_current: epoch == current };
            Some(PlanPart { frames, segment })
        });
        parts.collect()
    }

    /// The network's trunks that can be used: of which epoch, whether of the current plan, and the
    /// ports.
    fn trunks(&self, network: &Network) -> impl Iterator<Item = (Epoch, bool, &PortSpec)> {
        let ports = network.trunks.iter().filter_map(|id| self.ports.get(id));
        ports.filter(|port| self.leg(port).is_some()).filter_map(|port| match port.role {
            PortRole::Trunk { epoch, is_current, .. } => Some((epoch, is_current, port)),
            PortRole::Access { .. } => None,
        })
    }

    /// The segment of a network that a switch has a part in, by the plan of an epoch.
    fn segment(&self, network: &Network, at: DatapathId, epoch: Epoch) -> Option<u16> {
        let ports = network.sites.get(&at)?.iter().filter_map(|id| self.ports.get(id));
        let segments = ports.filter_map(|port| match port.role {
            PortRole::Trunk { epoch: of, .. } if of != epoch => None,
            PortRole::Trunk { segment, .. } => self.leg(port).map(|_| segment),
            PortRole::Access { .. } => self.leg(port).map(|_| 0),
        });
        segments.max()
    }

    /// The access ports of a network on a switch, by their OpenFlow numbers.
    fn access_ports(&self, network: &Network, at: DatapathId) -> BTreeSet<u32> {
        let ids = network.sites.get(&at).into_iter().flatten();
        let ports = ids.filter_map(|id| self.ports.get(id));
        let access = ports.filter(|port| matches!(port.role, PortRole::Access { .. }));
        access.filter_map(|port| self.leg(port).flatten()).collect()
    }

    /// The trunk of a switch in an epoch.
    fn trunk(&self, network: &Network, at: DatapathId, epoch: Epoch) -> Option<Trunk> {
        let mut own =
            self.trunks(network).filter(|(of, _, port)| *of == epoch && port.switch == at);
        let port = own.find_map(|(.., port)| self.leg(port).flatten())?;
        Some(Trunk { port, epoch })
    }

    /// The access port that has an address, or behind which it was learned.
    fn access_to(&self, network: &Network, mac: MacAddress) -> Option<&PortSpec> {
        let holders = network.addresses.get(&mac).into_iter().flatten();
        let learned = network.learned.get(&mac);
        let mut holders = holders.chain(learned).filter_map(|id| self.ports.get(id));
        holders.find(|port| self.leg(port).is_some())
    }

    /// The trunk that leads to a region from a segment, by the plan of an epoch.
    fn trunk_towards(
        &self,
        network: &Network,
        region: &Name,
        segment: u16,
        epoch: Epoch,
    ) -> Option<&PortSpec> {
        let leads_there = |port: &PortSpec| match &port.role {
            PortRole::Trunk { segment: of, regions, .. } => {
                *of == segment && regions.contains(region)
            }
            PortRole::Access { .. } => false,
        };
        let mut trunks = self.trunks(network).filter(|(of, ..)| *of == epoch);
        trunks.find_map(|(.., port)| leads_there(port).then_some(port))
    }
}

fn put_flows(program: &mut Program, flows: impl IntoIterator<Item = Flow>) {
    flows.into_iter().for_each(|flow| program.put_flow(flow));
}
