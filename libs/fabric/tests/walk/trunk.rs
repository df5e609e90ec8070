//! Three fabrics as two controllers and the inter-cluster one compile them, joined by trunks: what
//! holds inside one fabric must hold across them.

use std::collections::BTreeSet;

use l2sces_fabric::{
    EndpointSpec, Fabric, LinkEnd, LinkSpec, NetworkSpec, PortRole, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_model::{DatapathId, InterfaceName, MacAddress};

use crate::simulator::{Delivery, Frame, Simulator, Wire};

/// The switches: cluster `a` has 1 (gateway) and 2, cluster `b` 3 (gateway) and 4; 11 and 13 are the
/// inter-cluster switches of the gateways.
const CLUSTERS: [[u64; 2]; 2] = [[1, 2], [3, 4]];
const NETWORKS: [u32; 2] = [1, 2];
const TUNNEL: u32 = 1;
const TRUNK: u32 = 2;

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

fn id(switch: u64) -> DatapathId {
    switch.try_into().unwrap()
}

/// The same addresses in both networks.
fn mac(switch: u64) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 0, switch as u8])
}

fn access_port(switch: u64, network: u32) -> (u64, u32) {
    (switch, 10 + network)
}

/// Two switches with a tunnel and the networks; what is on them comes after.
fn pair(a: u64, b: u64) -> Fabric {
    let mut fabric = Fabric::new();
    for switch in [a, b] {
        let ordinal = switch as u16;
        fabric.put_switch(SwitchSpec { id: id(switch), ordinal, name: switch.to_string() });
        fabric.set_interface(id(switch), &interface("tunnel"), Some(TUNNEL));
        fabric.set_interface(id(switch), &interface("trunk"), Some(TRUNK));
    }
    let end = |switch| LinkEnd { switch: id(switch), interface: interface("tunnel") };
    fabric.put_slice(SliceSpec {
        name: "s".parse().unwrap(),
        ordinal: 1,
        switches: vec![id(a), id(b)],
        links: vec![LinkSpec { a: end(a), b: end(b), cost: 1 }],
    });
    for network in NETWORKS {
        let vni = network.try_into().unwrap();
        fabric.put_network(NetworkSpec { vni, slice: "s".parse().unwrap() });
    }
    fabric
}

fn trunk(fabric: &mut Fabric, switch: u64, endpoints: &[u64]) {
    for network in NETWORKS {
        let vni = network.try_into().unwrap();
        fabric.put_port(PortSpec {
            id: format!("handoff/{network}/{switch}").into(),
            vni,
            switch: id(switch),
            interface: interface("trunk"),
            role: PortRole::Trunk,
        });
        for endpoint in endpoints {
            fabric.put_endpoint(EndpointSpec {
                vni,
                mac: mac(*endpoint),
                switch: id(switch),
                interface: interface("trunk"),
            });
        }
    }
}

fn joined() -> Simulator {
    let mut simulator = Simulator::default();
    let mut add = |fabric: &mut Fabric, switches: [u64; 2]| {
        fabric.recompile();
        for switch in switches {
            simulator.programs.insert(switch, fabric.program(id(switch)));
        }
        let [a, b] = switches;
        simulator.wires.insert((a, TUNNEL), Wire::Tunnel(b, TUNNEL));
        simulator.wires.insert((b, TUNNEL), Wire::Tunnel(a, TUNNEL));
    };
    for (cluster, other) in [(0, 1), (1, 0)] {
        let switches = CLUSTERS[cluster];
        let mut fabric = pair(switches[0], switches[1]);
        trunk(&mut fabric, switches[0], &CLUSTERS[other]);
        for (switch, network) in switches.into_iter().flat_map(|s| NETWORKS.map(|n| (s, n))) {
            let (_, port) = access_port(switch, network);
            let name = interface(&format!("pod-{network}"));
            fabric.set_interface(id(switch), &name, Some(port));
            fabric.put_port(PortSpec {
                id: format!("{network}/{switch}").into(),
                vni: network.try_into().unwrap(),
                switch: id(switch),
                interface: name,
                role: PortRole::Access { mac: mac(switch) },
            });
        }
        add(&mut fabric, switches);
    }
    let mut between = pair(11, 13);
    trunk(&mut between, 11, &CLUSTERS[0]);
    trunk(&mut between, 13, &CLUSTERS[1]);
    add(&mut between, [11, 13]);
    for (gateway, edge) in [(1, 11), (3, 13)] {
        simulator.wires.insert((gateway, TRUNK), Wire::Patch(edge, TRUNK));
        simulator.wires.insert((edge, TRUNK), Wire::Patch(gateway, TRUNK));
    }
    simulator
}

#[test]
fn frames_cross_clusters_once_and_stay_in_their_network() {
    let simulator = joined();
    for network in NETWORKS {
        for from in 1..=4 {
            let (switch, port) = access_port(from, network);
            for to in (1..=4).filter(|to| *to != from).map(Some).chain([None]) {
                let address = to.map_or(MacAddress::BROADCAST, mac);
                let walk = simulator.inject(switch, port, Frame::new(mac(from), address));
                let places: Vec<_> = walk.deliveries.iter().map(Delivery::place).collect();
                let others =
                    (1..=4).filter(|other| *other != from && to.is_none_or(|to| to == *other));
                let wanted: BTreeSet<_> = others.map(|other| access_port(other, network)).collect();
                assert_eq!(places.len(), wanted.len(), "from {from} to {to:?}: {places:?}");
                assert_eq!(BTreeSet::from_iter(places), wanted, "from {from} to {to:?}");
                assert!(walk.deliveries.iter().all(|delivery| delivery.frame.mark == 0));
                assert!(!walk.looped);
            }
        }
    }
}

#[test]
fn a_mark_that_nobody_gave_out_opens_no_network() {
    let simulator = joined();
    for mark in [0, 3, 1 << 23, 3 | 1 << 23] {
        let frame = Frame { mark, ..Frame::new(mac(9), MacAddress::BROADCAST) };
        assert!(simulator.inject(1, TRUNK, frame).deliveries.is_empty(), "mark {mark:#x}");
    }
}
