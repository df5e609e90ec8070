//! Proofs by walking: the compiled tables are executed on simulated frames, over random graphs,
//! networks and slices, so that isolation, delivery and loop freedom are seen, not assumed.

#[cfg(test)]
mod scenario;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod trunk;

use std::collections::BTreeSet;

use l2sces_fabric::Fabric;
use l2sces_model::MacAddress;
use proptest::prelude::*;
use scenario::{Attached, Scenario, scenario};
use simulator::{Delivery, Frame, Simulator};

const STRANGER: MacAddress = MacAddress::new([2, 0xff, 0, 0, 0, 1]);

fn simulate(scenario: &Scenario) -> (Simulator, Vec<Attached>) {
    let mut fabric = Fabric::new();
    scenario.put(&mut fabric);
    fabric.recompile();
    (scenario.simulator(&fabric), scenario.attached())
}

/// Whom a frame from one port to an address must reach: everyone for a group or unknown address,
/// the one who has a known address; always within the network and the reach of the slice's links.
fn expected(
    scenario: &Scenario,
    ports: &[Attached],
    from: &Attached,
    to: MacAddress,
) -> BTreeSet<(u64, u32)> {
    let reachable = scenario.reachable(from);
    let peers = ports.iter().filter(|port| {
        port.vni == from.vni && port.place() != from.place() && reachable.contains(&port.switch)
    });
    let known = ports.iter().any(|port| port.vni == from.vni && port.mac == to);
    peers.filter(|port| !known || port.mac == to).map(Attached::place).collect()
}

fn check(scenario: &Scenario) -> Result<(), TestCaseError> {
    let (simulator, ports) = simulate(scenario);
    for from in &ports {
        let addresses = ports.iter().map(|port| port.mac).filter(|mac| *mac != from.mac);
        for to in addresses.chain([MacAddress::BROADCAST, STRANGER]) {
            let walk = simulator.inject(from.switch, from.port, Frame::new(from.mac, to));
            prop_assert!(!walk.looped, "frame from {from:?} to {to} loops");
            let mut places: Vec<_> = walk.deliveries.iter().map(Delivery::place).collect();
            places.sort_unstable();
            let unique: BTreeSet<_> = places.iter().copied().collect();
            prop_assert_eq!(places.len(), unique.len(), "duplicates of {:?} to {}", from, to);
            prop_assert_eq!(unique, expected(scenario, &ports, from, to), "{:?} to {}", from, to);
            for delivery in &walk.deliveries {
                prop_assert_eq!(delivery.frame.mark, 0, "a mark leaked");
            }
            let allowed = scenario.slice_links(from.slice);
            prop_assert!(
                walk.links.iter().all(|link| allowed.contains(link)),
                "{from:?} to {to} used {:?}, allowed {:?}",
                walk.links,
                allowed
            );
        }
        // A source address that is not the port's own goes nowhere.
        let spoofed =
            simulator.inject(from.switch, from.port, Frame::new(STRANGER, MacAddress::BROADCAST));
        prop_assert_eq!(spoofed.deliveries.len(), 0);
        let lldp = Frame { ethertype: 0x88cc, ..Frame::new(from.mac, MacAddress::BROADCAST) };
        prop_assert_eq!(simulator.inject(from.switch, from.port, lldp).deliveries.len(), 0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Inside a network everyone reachable is reached exactly once, nobody outside it is, and only
    /// links of its slice are used.
    #[test]
    fn frames_reach_whom_they_should_and_nobody_else(scenario in scenario()) {
        check(&scenario)?;
    }

    /// Whatever the order of the changes, the same state compiles to the same programs.
    #[test]
    fn incremental_and_full_compilation_agree(scenario in scenario(), order in any::<u64>()) {
        let mut full = Fabric::new();
        scenario.put(&mut full);
        full.recompile();
        let mut incremental = Fabric::new();
        scenario.put_in_steps(&mut incremental, order);
        for switch in scenario.switch_ids() {
            prop_assert_eq!(full.program(switch), incremental.program(switch));
        }
    }

    /// After a restart of the controller, the first switch to connect gets the program that it has:
    /// the others are not taken to have lost what they have not reported yet.
    #[test]
    fn a_switch_that_has_not_reported_is_not_taken_to_have_lost_anything(scenario in scenario()) {
        let mut fabric = Fabric::new();
        scenario.put(&mut fabric);
        fabric.recompile();
        for first in scenario.switch_ids() {
            let mut restarted = Fabric::new();
            scenario.put_with_reports_of(&mut restarted, first);
            restarted.recompile();
            prop_assert_eq!(restarted.program(first), fabric.program(first));
        }
    }

    /// What is removed leaves nothing behind.
    #[test]
    fn removing_everything_empties_every_program(scenario in scenario()) {
        let mut fabric = Fabric::new();
        scenario.put(&mut fabric);
        fabric.recompile();
        scenario.remove(&mut fabric);
        fabric.recompile();
        for switch in scenario.switch_ids() {
            let program = fabric.program(switch);
            prop_assert!(program.flows.is_empty() && program.groups.is_empty());
        }
    }
}

/// A detector that finds nothing proves nothing: each planted fault must be found.
#[cfg(test)]
mod planted {
    use l2sces_openflow::{Action, Instruction, MatchField};

    use super::*;

    /// Three switches in a ring and a fourth beyond, one network with a port on each.
    fn ring() -> Scenario {
        Scenario::fixed(4, &[(1, 2), (2, 3), (1, 3), (3, 4)], &[&[1, 2, 3, 4]])
    }

    fn faults(mut edit: impl FnMut(&mut Simulator)) -> usize {
        let scenario = ring();
        let (mut simulator, ports) = simulate(&scenario);
        edit(&mut simulator);
        let mut faults = 0;
        for from in &ports {
            let peers = ports.iter().map(|port| port.mac).filter(|mac| *mac != from.mac);
            for to in peers.chain([MacAddress::BROADCAST]) {
                let walk = simulator.inject(from.switch, from.port, Frame::new(from.mac, to));
                let mut places: Vec<_> = walk.deliveries.iter().map(Delivery::place).collect();
                places.sort_unstable();
                let wanted: Vec<_> = expected(&scenario, &ports, from, to).into_iter().collect();
                faults += usize::from(walk.looped || places != wanted);
            }
        }
        faults
    }

    #[test]
    fn without_a_fault_none_is_found() {
        assert_eq!(faults(|_| {}), 0);
    }

    #[test]
    fn a_wrong_tunnel_id_is_found() {
        let edited = faults(|simulator| {
            for program in simulator.programs.values_mut() {
                for action in program
                    .groups
                    .values_mut()
                    .flat_map(|group| &mut group.buckets)
                    .flat_map(|bucket| &mut bucket.actions)
                {
                    if let Action::SetField(MatchField::TunnelId { value, .. }) = action {
                        *value += 1;
                    }
                }
            }
        });
        assert!(edited > 0);
    }

    #[test]
    fn a_stale_destination_group_is_found() {
        let edited = faults(|simulator| {
            for program in simulator.programs.values_mut() {
                for (id, group) in &mut program.groups {
                    if id.0 >> 31 == 1 {
                        group.buckets.clear();
                    }
                }
            }
        });
        assert!(edited > 0);
    }

    #[test]
    fn a_swapped_port_is_found() {
        let edited = faults(|simulator| {
            let program = simulator.programs.values_mut().next().unwrap();
            for body in program.flows.values_mut() {
                for instruction in &mut body.instructions {
                    if let Instruction::ApplyActions(actions) = instruction {
                        for action in actions {
                            if let Action::Output(port) = action {
                                *port += 1;
                            }
                        }
                    }
                }
            }
        });
        assert!(edited > 0);
    }

    #[test]
    fn a_missing_reverse_path_check_and_split_horizon_is_found() {
        let edited = faults(Simulator::flood_everywhere);
        assert!(edited > 0);
    }
}
