//! A detector that finds nothing proves nothing: each planted fault must be found.

use std::collections::BTreeMap;

use l2sces_fabric::Fabric;
use l2sces_model::MacAddress;
use l2sces_openflow::{Action, Bucket, Instruction, MatchField, Program};

use crate::{
    scenario::{Scenario, id},
    simulator::Frame,
};

type Programs = BTreeMap<u64, Program>;

/// Three switches in a ring and a fourth beyond, one network with a port on each.
fn faults(edit: impl FnOnce(&mut Programs)) -> usize {
    let scenario = Scenario::fixed(4, &[(1, 2), (2, 3), (1, 3), (3, 4)], &[&[1, 2, 3, 4]]);
    let mut fabric = Fabric::new();
    scenario.put(&mut fabric);
    let mut programs: Programs =
        scenario.switch_ids().map(|switch| (switch, fabric.program(id(switch)))).collect();
    edit(&mut programs);
    let simulator = scenario.simulator(|switch| programs[&switch].clone());
    let ports = scenario.attached();
    let mut faults = 0;
    for from in &ports {
        let peers = ports.iter().map(|port| port.mac).filter(|mac| *mac != from.mac);
        for to in peers.chain([MacAddress::BROADCAST]) {
            let walk = simulator.inject(from.switch, from.port, Frame::new(from.mac, to));
            let wanted = scenario.expected(&ports, from, to);
            faults += usize::from(walk.looped || walk.places() != wanted);
        }
    }
    faults
}

fn buckets(programs: &mut Programs) -> impl Iterator<Item = &mut Bucket> {
    let groups = programs.values_mut().flat_map(|program| program.groups.values_mut());
    groups.flat_map(|group| &mut group.buckets)
}

#[test]
fn without_a_fault_none_is_found() {
    assert_eq!(faults(|_| {}), 0);
}

#[test]
fn a_wrong_tunnel_id_is_found() {
    let found = faults(|programs| {
        for action in buckets(programs).flat_map(|bucket| &mut bucket.actions) {
            if let Action::SetField(MatchField::TunnelId { value, .. }) = action {
                *value += 1;
            }
        }
    });
    assert!(found > 0);
}

#[test]
fn a_stale_destination_group_is_found() {
    let found = faults(|programs| {
        for (id, group) in programs.values_mut().flat_map(|program| &mut program.groups) {
            if id.0 >> 31 == 1 {
                group.buckets.clear();
            }
        }
    });
    assert!(found > 0);
}

/// As groups would be that are changed one by one without an order: two switches that each take the
/// other for the way to the fourth, and a third between.
#[test]
fn a_circle_of_destination_groups_is_found() {
    let found = faults(|programs| {
        for (switch, next) in [(1, 2), (2, 3), (3, 1)] {
            let program = programs.get_mut(&switch).unwrap();
            let (_, group) = program.groups.iter_mut().next_back().unwrap();
            group.buckets = vec![Bucket::new(vec![Action::Output(next)])];
        }
    });
    assert!(found > 0);
}

#[test]
fn a_swapped_port_is_found() {
    let found = faults(|programs| {
        let program = programs.values_mut().next().unwrap();
        let instructions = program.flows.values_mut().flat_map(|body| &mut body.instructions);
        for instruction in instructions {
            if let Instruction::ApplyActions(actions) = instruction {
                for action in actions {
                    if let Action::Output(port) = action {
                        *port += 1;
                    }
                }
            }
        }
    });
    assert!(found > 0);
}

/// A copy of a flooded frame is flooded again where it arrives.
#[test]
fn a_missing_split_horizon_is_found() {
    let found = faults(|programs| {
        for program in programs.values_mut() {
            let flood = program.flows.iter().find(|(key, _)| key.table == 30);
            let flood = flood.unwrap().1.instructions.clone();
            for (_, body) in program.flows.iter_mut().filter(|(key, _)| key.table == 40) {
                body.instructions.clone_from(&flood);
            }
        }
    });
    assert!(found > 0);
}
