//! Random graphs with slices, networks and ports, and how to put them into a fabric.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_fabric::{
    Fabric, LinkEnd, LinkSpec, NetworkSpec, PortId, PortRole, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};
use l2sces_openflow::Program;
use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
    sample::Index,
};

use crate::simulator::{Simulator, Wire};

/// Two switches, the lower first.
pub(crate) type Link = (u64, u64);

/// What is wanted: slices over the switches 1 to `switches`, and networks with ports in them.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) switches: u64,
    pub(crate) slices: Vec<SlicePart>,
    /// For each network: its slice, if it is there, and its ports.
    pub(crate) networks: Vec<Network>,
    pub(crate) broken: BTreeSet<Link>,
}

#[derive(Clone, Debug)]
pub(crate) struct SlicePart {
    pub(crate) exists: bool,
    pub(crate) members: BTreeSet<u64>,
    pub(crate) links: BTreeMap<Link, u32>,
    pub(crate) spared: BTreeSet<u64>,
    pub(crate) is_measured: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) slice: usize,
    pub(crate) exists: bool,
    /// The switch of each port; none: it is not attached. A port keeps its number and address.
    pub(crate) ports: Vec<Option<u64>>,
    /// The port behind which each address is that was learned; none: it is not known.
    pub(crate) guests: Vec<Option<usize>>,
}

/// One access port, or an endpoint that was learned behind it.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) switch: u64,
    pub(crate) port: u32,
    pub(crate) mac: MacAddress,
    pub(crate) network: usize,
    pub(crate) slice: usize,
}

impl Attached {
    pub(crate) fn place(&self) -> (u64, u32) {
        (self.switch, self.port)
    }
}

/// Most ports of a network.
const PORTS: usize = 6;
/// Most addresses of a network that are learned.
pub(crate) const GUESTS: usize = 3;

fn link(switches: u64) -> impl Strategy<Value = Link> {
    (1..=switches, 1..=switches).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

pub(crate) fn slice(switches: u64) -> impl Strategy<Value = SlicePart> {
    let links = btree_map(link(switches), 1_u32..5, 0..(3 * switches) as usize);
    let strangers = btree_set(1..=switches, 0..(switches as usize / 4 + 1));
    let spared = btree_set(1..=switches, 0..(switches as usize / 3 + 1));
    let parts = (links, strangers, spared, any::<bool>());
    parts.prop_map(move |(links, strangers, spared, is_measured)| {
        let members: BTreeSet<u64> = (1..=switches).filter(|it| !strangers.contains(it)).collect();
        let links = links
            .into_iter()
            .filter(|((a, b), _)| a != b && members.contains(a) && members.contains(b))
            .collect();
        SlicePart { exists: true, members, links, spared, is_measured }
    })
}

fn network(switches: u64) -> impl Strategy<Value = (Index, Vec<Option<u64>>, Vec<Option<Index>>)> {
    let ports = vec(proptest::option::weighted(0.9, 1..=switches), 1..=PORTS);
    let guests = vec(proptest::option::weighted(0.5, any::<Index>()), GUESTS);
    (any::<Index>(), ports, guests)
}

/// Slices over random, overlapping links, and networks in them that all use the same addresses.
pub(crate) fn scenario(
    most_switches: u64,
    most_networks: usize,
) -> impl Strategy<Value = Scenario> {
    (2..=most_switches)
        .prop_flat_map(move |switches| {
            let networks = vec(network(switches), 1..=most_networks);
            (Just(switches), vec(slice(switches), 1..4), networks)
        })
        .prop_map(|(switches, slices, networks)| {
            let network = |(slice, ports, guests): (Index, Vec<_>, Vec<Option<Index>>)| Network {
                slice: slice.index(slices.len()),
                exists: true,
                guests: guests.iter().map(|host| Some((*host)?.index(ports.len()))).collect(),
                ports,
            };
            let networks = networks.into_iter().map(network).collect();
            Scenario { switches, slices, networks, broken: BTreeSet::new() }
        })
}

pub(crate) fn id(switch: u64) -> DatapathId {
    DatapathId::try_from(switch).unwrap()
}

/// Port numbers: tunnels have the peer's number, access ports come after.
pub(crate) fn tunnel(peer: u64) -> (InterfaceName, u32) {
    (format!("to-{peer}").parse().unwrap(), peer as u32)
}

fn access(network: usize, port: usize) -> (InterfaceName, u32) {
    let index = network * PORTS + port;
    (format!("pod-{index}").parse().unwrap(), 100 + index as u32)
}

fn slice_name(index: usize) -> Name {
    format!("slice-{index}").parse().unwrap()
}

fn vni(network: usize) -> Vni {
    (network as u32 + 1).try_into().unwrap()
}

fn port_mac(port: usize) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 0, port as u8 + 1])
}

fn guest_mac(guest: usize) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 1, guest as u8])
}

fn port_id(network: usize, port: usize) -> PortId {
    format!("port-{network}-{port}").into()
}

fn end(switch: u64, peer: u64) -> LinkEnd {
    LinkEnd { switch: id(switch), interface: tunnel(peer).0 }
}

impl Scenario {
    /// One slice with these links, and networks with a port on each of these switches.
    pub(crate) fn fixed(switches: u64, links: &[Link], networks: &[&[u64]]) -> Self {
        let slice = SlicePart {
            exists: true,
            members: (1..=switches).collect(),
            links: links.iter().map(|link| (*link, 1)).collect(),
            spared: BTreeSet::new(),
            is_measured: false,
        };
        let network = |ports: &&[u64]| Network {
            slice: 0,
            exists: true,
            ports: ports.iter().copied().map(Some).collect(),
            guests: vec![],
        };
        let networks = networks.iter().map(network).collect();
        Self { switches, slices: vec![slice], networks, broken: BTreeSet::new() }
    }

    pub(crate) fn switch_ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.switches
    }

    /// The ports that are to have flows.
    pub(crate) fn attached(&self) -> Vec<Attached> {
        let mut ports = Vec::new();
        for (number, network) in self.networks.iter().enumerate() {
            let slice = &self.slices[network.slice];
            for (index, switch) in network.ports.iter().enumerate() {
                let Some(switch) = *switch else { continue };
                if network.exists && slice.exists && slice.members.contains(&switch) {
                    ports.push(Attached {
                        switch,
                        port: access(number, index).1,
                        mac: port_mac(index),
                        network: number,
                        slice: network.slice,
                    });
                }
            }
            for (guest, host) in network.guests.iter().enumerate() {
                let host = (*host).and_then(|host| {
                    let place = (network.ports[host]?, access(number, host).1);
                    ports.iter().find(|port| port.network == number && port.place() == place)
                });
                if let Some(host) = host.cloned() {
                    ports.push(Attached { mac: guest_mac(guest), ..host });
                }
            }
        }
        ports
    }

    /// The switches that can be reached from one by links of a slice.
    pub(crate) fn reachable(&self, slice: usize, from: u64) -> BTreeSet<u64> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if reached.insert(at) {
                for &(a, b) in self.slices[slice].links.keys() {
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

    /// Whom a frame from one port to an address must reach: everyone for a group or unknown
    /// address, the one who has a known address; always within the network and the reach of the
    /// slice's links.
    pub(crate) fn expected(
        &self,
        ports: &[Attached],
        from: &Attached,
        to: MacAddress,
    ) -> Vec<(u64, u32)> {
        let reachable = self.reachable(from.slice, from.switch);
        let peers = ports.iter().filter(|port| {
            port.network == from.network
                && port.place() != from.place()
                && reachable.contains(&port.switch)
        });
        let known = ports.iter().any(|port| port.network == from.network && port.mac == to);
        let mut places: Vec<_> =
            peers.filter(|port| !known || port.mac == to).map(Attached::place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Puts the whole of what is wanted: what is not is taken away.
    pub(crate) fn put(&self, fabric: &mut Fabric) {
        self.put_switches(fabric);
        self.put_wishes(fabric);
    }

    pub(crate) fn put_switches(&self, fabric: &mut Fabric) {
        for switch in self.switch_ids() {
            self.put_switch(fabric, switch);
            self.report(fabric, switch);
        }
    }

    pub(crate) fn put_switch(&self, fabric: &mut Fabric, switch: u64) {
        let (ordinal, name) = (switch as u16, format!("switch-{switch}"));
        let (cluster, node) = ("a".parse().unwrap(), format!("n{switch}").parse().unwrap());
        fabric.put_switch(SwitchSpec { id: id(switch), ordinal, name, cluster, node });
    }

    /// A switch reports its tunnels, and an interface for every port that may be attached to it.
    pub(crate) fn report(&self, fabric: &mut Fabric, switch: u64) {
        let tunnels = self.switch_ids().map(tunnel);
        let networks = 0..self.networks.len();
        let pods = networks.flat_map(|network| (0..PORTS).map(move |port| access(network, port)));
        fabric.set_interfaces(id(switch), &tunnels.chain(pods).collect());
    }

    pub(crate) fn put_wishes(&self, fabric: &mut Fabric) {
        for (index, slice) in self.slices.iter().enumerate() {
            if !slice.exists {
                fabric.remove_slice(&slice_name(index));
                continue;
            }
            let link =
                |(&(a, b), &cost): (&Link, &u32)| LinkSpec { a: end(a, b), b: end(b, a), cost };
            fabric.put_slice(SliceSpec {
                name: slice_name(index),
                ordinal: index as u16 + 1,
                switches: slice.members.iter().copied().map(id).collect(),
                links: slice.links.iter().map(link).collect(),
                avoid_transit: slice.spared.iter().copied().map(id).collect(),
                is_measured: slice.is_measured,
            });
        }
        for (number, network) in self.networks.iter().enumerate() {
            if network.exists {
                let slice = slice_name(network.slice);
                fabric.put_network(NetworkSpec { vni: vni(number), slice });
            } else {
                fabric.remove_network(vni(number));
            }
            for (index, switch) in network.ports.iter().enumerate() {
                match *switch {
                    Some(switch) => fabric.put_port(PortSpec {
                        id: port_id(number, index),
                        vni: vni(number),
                        switch: id(switch),
                        interface: access(number, index).0,
                        role: PortRole::Access { mac: port_mac(index), max_learned: GUESTS as u16 },
                    }),
                    None => fabric.remove_port(&port_id(number, index)),
                }
            }
            for (guest, host) in network.guests.iter().enumerate() {
                match host.filter(|host| network.ports[*host].is_some()) {
                    Some(host) => fabric.learn(&port_id(number, host), guest_mac(guest)),
                    None => fabric.forget_learned(vni(number), guest_mac(guest)),
                }
            }
        }
        let broken = self.broken.iter().map(|&(a, b)| (end(a, b), end(b, a)));
        fabric.set_broken_links(broken.collect());
    }

    pub(crate) fn remove(&self, fabric: &mut Fabric) {
        for (number, network) in self.networks.iter().enumerate() {
            (0..network.ports.len()).for_each(|port| fabric.remove_port(&port_id(number, port)));
            fabric.remove_network(vni(number));
        }
        (0..self.slices.len()).for_each(|index| fabric.remove_slice(&slice_name(index)));
        self.switch_ids().for_each(|switch| fabric.remove_switch(id(switch)));
    }

    /// All switches, joined by a tunnel between any two, with these programs.
    pub(crate) fn simulator(&self, program: impl Fn(u64) -> Program) -> Simulator {
        let mut simulator = Simulator::default();
        for a in self.switch_ids() {
            for b in self.switch_ids() {
                simulator.wires.insert((a, tunnel(b).1), Wire::Tunnel(b, tunnel(a).1));
            }
            simulator.load(a, &program(a));
        }
        simulator
    }
}
