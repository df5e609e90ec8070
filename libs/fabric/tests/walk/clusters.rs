//! Three clusters with two gateways each and the switches between them, each fabric compiled by its
//! own controller, under plans of how networks cross them.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_fabric::{
    EndpointSpec, Fabric, LinkEnd, LinkSpec, NetworkSpec, PortRole, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_model::{InterfaceName, MacAddress, Name, Vni};
use l2sces_openflow::Program;

use crate::{
    scenario::id,
    simulator::{Simulator, Wire},
};

/// Cluster a has the gateways 1 and 2, b 3 and 4, c 5 and 6; 11 to 16 are their inter-cluster
/// switches, each linked with those of the other clusters.
const CLUSTERS: [(&str, [u64; 2]); 3] = [("a", [1, 2]), ("b", [3, 4]), ("c", [5, 6])];
pub(crate) const EDGE: u64 = 10;
pub(crate) const NETWORKS: [u32; 2] = [1, 2];
pub(crate) const TRUNK: u32 = 50;

/// Which gateways a network uses, in which segment, and where each leads, seen from its cluster and
/// seen from between the clusters.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) epoch: u8,
    pub(crate) gates: &'static [(u64, u16, &'static [&'static str], &'static [&'static str])],
}

/// Figure 1 of the paper: a and b meet at 1 and 3, b and c at 4 and 5; b carries what is between a
/// and c.
pub(crate) const THROUGH_B: Plan = Plan {
    epoch: 1,
    gates: &[
        (1, 0, &["b", "c"], &["a"]),
        (3, 0, &["a"], &["b", "c"]),
        (4, 1, &["c"], &["a", "b"]),
        (5, 1, &["a", "b"], &["c"]),
    ],
};

/// All meet in one segment, b at its other gateway.
pub(crate) const TOGETHER: Plan = Plan {
    epoch: 2,
    gates: &[(2, 0, &["b", "c"], &["a"]), (4, 0, &["a", "c"], &["b"]), (5, 0, &["a", "b"], &["c"])],
};

/// All meet at their other gateways than at first.
pub(crate) const ASIDE: Plan = Plan {
    epoch: 3,
    gates: &[(1, 0, &["b", "c"], &["a"]), (3, 0, &["a", "c"], &["b"]), (6, 0, &["a", "b"], &["c"])],
};

/// The plans that switches follow: the current one, and perhaps another.
pub(crate) type Plans = (Plan, Option<Plan>);

/// How networks go over from one plan to the next: the plans after each step.
pub(crate) fn steps(from: Plan, to: Plan) -> [Plans; 4] {
    [(from, None), (from, Some(to)), (to, Some(from)), (to, None)]
}

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

fn vni(network: u32) -> Vni {
    network.try_into().unwrap()
}

fn names(list: &[&str]) -> BTreeSet<Name> {
    list.iter().map(|name| name.parse().unwrap()).collect()
}

/// The same addresses in both networks.
pub(crate) fn mac(switch: u64) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 0, switch as u8])
}

pub(crate) fn access_port(switch: u64, network: u32) -> (u64, u32) {
    (switch, 100 + network)
}

/// Switches with a tunnel for each pair, and the networks; what is on them comes after.
fn mesh(switches: &[u64], pairs: &[(u64, u64)]) -> Fabric {
    let mut fabric = Fabric::new();
    for &switch in switches {
        fabric.put_switch(SwitchSpec {
            id: id(switch),
            ordinal: switch as u16,
            name: switch.to_string(),
            cluster: "a".parse().unwrap(),
            node: format!("n{switch}").parse().unwrap(),
        });
        let tunnels = switches.iter().map(|peer| (interface(&format!("to-{peer}")), *peer as u32));
        let pods = NETWORKS.map(|n| (interface(&format!("pod-{n}")), access_port(switch, n).1));
        fabric.set_interfaces(
            id(switch),
            &tunnels.chain(pods).chain([(interface("trunk"), TRUNK)]).collect(),
        );
    }
    let end =
        |switch, peer| LinkEnd { switch: id(switch), interface: interface(&format!("to-{peer}")) };
    fabric.put_slice(SliceSpec {
        name: "s".parse().unwrap(),
        ordinal: 1,
        switches: switches.iter().copied().map(id).collect(),
        links: pairs
            .iter()
            .map(|&(a, b)| LinkSpec { a: end(a, b), b: end(b, a), cost: 1 })
            .collect(),
        avoid_transit: BTreeSet::new(),
        is_measured: false,
    });
    for network in NETWORKS {
        fabric.put_network(NetworkSpec { vni: vni(network), slice: "s".parse().unwrap() });
    }
    fabric
}

fn put_trunk(
    fabric: &mut Fabric,
    switch: u64,
    (segment, epoch, is_current): (u16, u8, bool),
    regions: &[&str],
) {
    for network in NETWORKS {
        fabric.put_port(PortSpec {
            id: format!("trunk/{network}/{switch}/{epoch}").into(),
            vni: vni(network),
            switch: id(switch),
            interface: interface("trunk"),
            role: PortRole::Trunk {
                segment,
                epoch: epoch.try_into().unwrap(),
                is_current,
                regions: names(regions),
            },
        });
    }
}

/// The endpoints of a cluster, as others know them.
fn put_endpoints(fabric: &mut Fabric, cluster: &str, gateways: [u64; 2]) {
    for (network, switch) in NETWORKS.into_iter().flat_map(|n| gateways.map(|at| (n, at))) {
        let region = cluster.parse().unwrap();
        fabric.put_endpoint(EndpointSpec {
            vni: vni(network),
            mac: mac(switch),
            region,
            is_learned: false,
        });
    }
}

/// The programs of all switches.
pub(crate) type Programs = BTreeMap<u64, Program>;

/// The programs of all switches that follow these plans.
pub(crate) fn programs((current, other): Plans) -> Programs {
    let gates = || {
        let plans = [Some((current, true)), other.map(|other| (other, false))];
        plans.into_iter().flatten().flat_map(|(plan, is_current)| {
            plan.gates.iter().map(move |gate| (*gate, plan.epoch, is_current))
        })
    };
    let mut programs = BTreeMap::new();
    let mut add = |fabric: &Fabric, switches: &[u64]| {
        let program = |switch: &u64| (*switch, fabric.program(id(*switch)));
        programs.extend(switches.iter().map(program));
    };
    for (cluster, gateways) in CLUSTERS {
        let mut fabric = mesh(&gateways, &[(gateways[0], gateways[1])]);
        for (switch, network) in gateways.into_iter().flat_map(|s| NETWORKS.map(|n| (s, n))) {
            fabric.put_port(PortSpec {
                id: format!("{network}/{switch}").into(),
                vni: vni(network),
                switch: id(switch),
                interface: interface(&format!("pod-{network}")),
                role: PortRole::Access { mac: mac(switch), max_learned: 0 },
            });
        }
        for (other, peers) in CLUSTERS.iter().filter(|(other, _)| *other != cluster) {
            put_endpoints(&mut fabric, other, *peers);
        }
        for ((gateway, _, regions, _), epoch, is_current) in gates() {
            if gateways.contains(&gateway) {
                put_trunk(&mut fabric, gateway, (0, epoch, is_current), regions);
            }
        }
        add(&fabric, &gateways);
    }
    let edges: Vec<_> = (1..=6).map(|gateway| EDGE + gateway).collect();
    let mut between = mesh(&edges, &edge_links());
    for (cluster, gateways) in CLUSTERS {
        put_endpoints(&mut between, cluster, gateways);
    }
    for ((gateway, segment, _, regions), epoch, _) in gates() {
        // No frame sets out there.
        put_trunk(&mut between, EDGE + gateway, (segment, epoch, false), regions);
    }
    add(&between, &edges);
    programs
}

fn edge_links() -> Vec<(u64, u64)> {
    let cluster = |gateway: u64| (gateway - 1) / 2;
    let pairs = (1..=6).flat_map(|a| (a + 1..=6).map(move |b| (a, b)));
    pairs.filter(|(a, b)| cluster(*a) != cluster(*b)).map(|(a, b)| (EDGE + a, EDGE + b)).collect()
}

pub(crate) fn joined(program: impl Fn(u64) -> Program) -> Simulator {
    let mut simulator = Simulator::default();
    let inside = CLUSTERS.map(|(_, [a, b])| (a, b));
    for (a, b) in inside.into_iter().chain(edge_links()) {
        simulator.wires.insert((a, b as u32), Wire::Tunnel(b, a as u32));
        simulator.wires.insert((b, a as u32), Wire::Tunnel(a, b as u32));
    }
    for gateway in 1..=6 {
        simulator.wires.insert((gateway, TRUNK), Wire::Patch(EDGE + gateway, TRUNK));
        simulator.wires.insert((EDGE + gateway, TRUNK), Wire::Patch(gateway, TRUNK));
        simulator.load(gateway, &program(gateway));
        simulator.load(EDGE + gateway, &program(EDGE + gateway));
    }
    simulator
}
