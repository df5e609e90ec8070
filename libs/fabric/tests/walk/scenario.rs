//! Random graphs with slices, networks and ports, and how to put them into a fabric.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_fabric::{
    Fabric, LinkEnd, LinkSpec, NetworkSpec, PortId, PortRole, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};
use proptest::prelude::*;

use crate::simulator::{Simulator, Wire};

type Link = (u64, u64);

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    switches: u64,
    slices: Vec<BTreeSet<Link>>,
    /// For each network: its slice, and the switches of its ports.
    networks: Vec<(usize, Vec<u64>)>,
}

/// One access port.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) switch: u64,
    pub(crate) port: u32,
    pub(crate) mac: MacAddress,
    pub(crate) vni: u32,
    pub(crate) slice: usize,
}

impl Attached {
    pub(crate) fn place(&self) -> (u64, u32) {
        (self.switch, self.port)
    }
}

enum Step {
    Switch(u64),
    Interface(u64, InterfaceName, u32),
    Slice(SliceSpec),
    Network(NetworkSpec),
    Port(PortSpec),
}

/// Up to 12 switches, three slices over random links of theirs, and six networks; all networks use
/// the same MAC addresses.
pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    (2_u64..12)
        .prop_flat_map(|switches| {
            let link = (1..=switches, 1..=switches);
            let slice = proptest::collection::btree_set(link, 0..(2 * switches) as usize);
            let network =
                (any::<prop::sample::Index>(), proptest::collection::vec(1..=switches, 1..6));
            (
                Just(switches),
                proptest::collection::vec(slice, 1..4),
                proptest::collection::vec(network, 1..7),
            )
        })
        .prop_map(|(switches, slices, networks)| {
            let slices: Vec<BTreeSet<Link>> = slices
                .into_iter()
                .map(|links| {
                    let links = links.into_iter().filter(|(a, b)| a != b);
                    links.map(|(a, b)| (a.min(b), a.max(b))).collect()
                })
                .collect();
            let networks = networks
                .into_iter()
                .map(|(slice, ports)| (slice.index(slices.len()), ports))
                .collect();
            Scenario { switches, slices, networks }
        })
}

fn id(switch: u64) -> DatapathId {
    DatapathId::try_from(switch).unwrap()
}

/// Port numbers: tunnels have the peer's number, access ports come after.
fn tunnel(peer: u64) -> (InterfaceName, u32) {
    (format!("to-{peer}").parse().unwrap(), peer as u32)
}

fn access(index: usize) -> (InterfaceName, u32) {
    (format!("pod-{index}").parse().unwrap(), 100 + index as u32)
}

impl Scenario {
    /// One slice with these links, and networks with a port on each of these switches.
    pub(crate) fn fixed(switches: u64, links: &[Link], networks: &[&[u64]]) -> Self {
        Self {
            switches,
            slices: vec![links.iter().copied().collect()],
            networks: networks.iter().map(|ports| (0, ports.to_vec())).collect(),
        }
    }

    pub(crate) fn switch_ids(&self) -> impl Iterator<Item = DatapathId> {
        (1..=self.switches).map(id)
    }

    pub(crate) fn slice_links(&self, slice: usize) -> &BTreeSet<Link> {
        &self.slices[slice]
    }

    pub(crate) fn attached(&self) -> Vec<Attached> {
        let mut ports = Vec::new();
        for (network, (slice, switches)) in self.networks.iter().enumerate() {
            for (index, &switch) in switches.iter().enumerate() {
                ports.push(Attached {
                    switch,
                    port: access(ports.len()).1,
                    mac: MacAddress::new([2, 0, 0, 0, 0, index as u8 + 1]),
                    vni: network as u32 + 1,
                    slice: *slice,
                });
            }
        }
        ports
    }

    /// The switches that can be reached by links of the port's slice.
    pub(crate) fn reachable(&self, from: &Attached) -> BTreeSet<u64> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.switch];
        while let Some(at) = open.pop() {
            if reached.insert(at) {
                for &(a, b) in &self.slices[from.slice] {
                    if a == at {
                        open.push(b);
                    } else if b == at {
                        open.push(a);
                    }
                }
            }
        }
        reached
    }

    fn slice_name(index: usize) -> Name {
        format!("slice-{index}").parse().unwrap()
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for switch in 1..=self.switches {
            steps.push(Step::Switch(switch));
            for peer in 1..=self.switches {
                let (interface, port) = tunnel(peer);
                steps.push(Step::Interface(switch, interface, port));
            }
        }
        for (index, links) in self.slices.iter().enumerate() {
            let end = |switch, peer| LinkEnd { switch: id(switch), interface: tunnel(peer).0 };
            steps.push(Step::Slice(SliceSpec {
                name: Self::slice_name(index),
                ordinal: index as u16 + 1,
                switches: self.switch_ids().collect(),
                links: links
                    .iter()
                    .map(|&(a, b)| LinkSpec { a: end(a, b), b: end(b, a), cost: 1 })
                    .collect(),
            }));
        }
        for (index, (slice, _)) in self.networks.iter().enumerate() {
            let vni = Vni::try_from(index as u32 + 1).unwrap();
            steps.push(Step::Network(NetworkSpec { vni, slice: Self::slice_name(*slice) }));
        }
        for (index, port) in self.attached().into_iter().enumerate() {
            let (interface, number) = access(index);
            steps.push(Step::Interface(port.switch, interface.clone(), number));
            steps.push(Step::Port(PortSpec {
                id: PortId::from(format!("port-{index}")),
                vni: port.vni.try_into().unwrap(),
                switch: id(port.switch),
                interface,
                role: PortRole::Access { mac: port.mac },
            }));
        }
        steps
    }

    pub(crate) fn put(&self, fabric: &mut Fabric) {
        self.steps().into_iter().for_each(|step| apply(fabric, step));
    }

    /// Puts everything that is wanted, but only one switch has reported its ports.
    pub(crate) fn put_with_reports_of(&self, fabric: &mut Fabric, first: DatapathId) {
        let steps = self.steps().into_iter();
        steps
            .filter(|step| !matches!(step, Step::Interface(switch, ..) if id(*switch) != first))
            .for_each(|step| apply(fabric, step));
    }

    /// Puts everything in some order, compiling after each step.
    pub(crate) fn put_in_steps(&self, fabric: &mut Fabric, mut order: u64) {
        let mut steps = self.steps();
        while !steps.is_empty() {
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let next = steps.swap_remove((order >> 33) as usize % steps.len());
            apply(fabric, next);
            fabric.recompile();
        }
    }

    pub(crate) fn remove(&self, fabric: &mut Fabric) {
        for step in self.steps() {
            match step {
                Step::Switch(switch) => fabric.remove_switch(id(switch)),
                Step::Interface(..) => {}
                Step::Slice(spec) => fabric.remove_slice(&spec.name),
                Step::Network(spec) => fabric.remove_network(spec.vni),
                Step::Port(spec) => fabric.remove_port(&spec.id),
            }
        }
    }

    pub(crate) fn simulator(&self, fabric: &Fabric) -> Simulator {
        let mut wires = BTreeMap::new();
        for a in 1..=self.switches {
            for b in 1..=self.switches {
                wires.insert((a, tunnel(b).1), Wire::Tunnel(b, tunnel(a).1));
            }
        }
        let programs =
            (1..=self.switches).map(|switch| (switch, fabric.program(id(switch)))).collect();
        Simulator { programs, wires }
    }
}

fn apply(fabric: &mut Fabric, step: Step) {
    match step {
        Step::Switch(switch) => fabric.put_switch(SwitchSpec {
            id: id(switch),
            ordinal: switch as u16,
            name: format!("switch-{switch}"),
        }),
        Step::Interface(switch, interface, port) => {
            fabric.set_interface(id(switch), &interface, Some(port));
        }
        Step::Slice(spec) => fabric.put_slice(spec),
        Step::Network(spec) => fabric.put_network(spec),
        Step::Port(spec) => fabric.put_port(spec),
    }
}
