//! Compiles one network: its part of the program of every switch that takes part in it.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::{DatapathId, MacAddress, Vni};
use l2sces_openflow::{GroupId, Program};

use crate::{
    pipeline::{self, Leg},
    topology::{Routes, Topology, way},
};

/// A network, resolved to OpenFlow port numbers.
pub(crate) struct Resolved<'a> {
    pub(crate) vni: Vni,
    /// The usable graph of the slice.
    pub(crate) topology: &'a Topology,
    /// The ways to each destination in the slice.
    pub(crate) routes: &'a BTreeMap<DatapathId, Routes>,
    /// The group number that leads to each switch.
    pub(crate) destination_group: &'a dyn Fn(DatapathId) -> Option<GroupId>,
    /// Where the network meets each switch: its members. A switch that has not reported its ports
    /// is a member too, without legs.
    pub(crate) legs: BTreeMap<DatapathId, BTreeSet<Leg>>,
    /// Where each endpoint is: a switch, and one of its legs if that is known.
    pub(crate) endpoints: BTreeMap<MacAddress, (DatapathId, Option<Leg>)>,
}

impl Resolved<'_> {
    /// The network's part of each program.
    pub(crate) fn compile(&self) -> BTreeMap<DatapathId, Program> {
        let mut programs: BTreeMap<DatapathId, Program> = BTreeMap::new();
        let members: BTreeSet<_> = self.legs.keys().copied().collect();
        let tree = self.topology.tree(&members);
        for (&switch, tree_ports) in &tree {
            self.flood(switch, tree_ports, programs.entry(switch).or_default());
        }
        let forwarders = self.forwarders(&members);
        for &switch in forwarders.values().flatten() {
            let program = programs.entry(switch).or_default();
            for port in self.topology.edges(switch).iter().filter_map(|edge| edge.port) {
                program.put_flow(pipeline::link_forwarded(self.vni, port));
            }
        }
        for (&mac, &(at, leg)) in &self.endpoints {
            for &switch in forwarders.get(&at).into_iter().flatten() {
                let flow = if switch == at {
                    match leg {
                        None => continue,
                        Some(Leg::Trunk(port)) => pipeline::trunk_destination(self.vni, mac, port),
                        Some(Leg::Access(port) | Leg::Link(port)) => {
                            pipeline::local_destination(self.vni, mac, port)
                        }
                    }
                } else {
                    let Some(group) = (self.destination_group)(at) else { continue };
                    pipeline::remote_destination(self.vni, mac, group)
                };
                programs.entry(switch).or_default().put_flow(flow);
            }
        }
        self.enter(&mut programs);
        programs
    }

    /// How frames get in by access ports and trunks.
    fn enter(&self, programs: &mut BTreeMap<DatapathId, Program>) {
        for (&mac, &(switch, leg)) in &self.endpoints {
            if let Some(Leg::Access(port)) = leg {
                let program = programs.entry(switch).or_default();
                for flow in pipeline::access(self.vni, port, mac) {
                    program.put_flow(flow);
                }
            }
        }
        for (&switch, legs) in &self.legs {
            for leg in legs {
                if let Leg::Trunk(port) = *leg {
                    let program = programs.entry(switch).or_default();
                    for flow in pipeline::trunk(self.vni, port) {
                        program.put_flow(flow);
                    }
                }
            }
        }
    }

    /// A switch's part of the tree.
    fn flood(&self, switch: DatapathId, tree_ports: &BTreeSet<u32>, program: &mut Program) {
        for &port in tree_ports {
            program.put_flow(pipeline::link_flooded(self.vni, port));
        }
        program.put_flow(pipeline::flood(self.vni));
        let local = self.legs.get(&switch).into_iter().flatten().copied();
        let legs = local.chain(tree_ports.iter().map(|port| Leg::Link(*port)));
        program.put_group(pipeline::flood_group_of(self.vni, legs));
    }

    /// For each member, the switches that forward to it: the other members, and the switches on
    /// their ways to it.
    fn forwarders(
        &self,
        members: &BTreeSet<DatapathId>,
    ) -> BTreeMap<DatapathId, BTreeSet<DatapathId>> {
        let to = |destination| {
            let mut forwarders = members.clone();
            if let Some(routes) = self.routes.get(&destination) {
                for &member in members {
                    forwarders.extend(way(routes, member).map(|(switch, _)| switch));
                }
            }
            forwarders
        };
        members.iter().map(|&member| (member, to(member))).collect()
    }
}
