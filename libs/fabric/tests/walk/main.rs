//! Proofs by walking: the compiled tables are executed on simulated frames, over random graphs,
//! networks and slices, so that isolation, delivery and loop freedom are seen, not assumed.

#[cfg(test)]
mod changes;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod probes;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod trunk;

use std::collections::BTreeSet;

use l2sces_fabric::Fabric;
use l2sces_model::MacAddress;
use l2sces_openflow::Program;
use proptest::prelude::*;
use scenario::{Scenario, id, scenario};
use simulator::Frame;

const STRANGER: MacAddress = MacAddress::new([2, 0xff, 0, 0, 0, 1]);

fn check(scenario: &Scenario) -> Result<(), TestCaseError> {
    let mut fabric = Fabric::new();
    scenario.put(&mut fabric);
    let simulator = scenario.simulator(|switch| fabric.program(id(switch)));
    let ports = scenario.attached();
    for from in &ports {
        let peers = ports.iter().filter(|port| port.network == from.network);
        let peers = peers.filter(|port| port.place() != from.place());
        let others: BTreeSet<_> = peers.map(|port| port.mac).collect();
        let others = others.into_iter();
        for to in others.chain([MacAddress::BROADCAST, STRANGER]) {
            let walk = simulator.inject(from.switch, from.port, Frame::new(from.mac, to));
            prop_assert!(!walk.looped, "frame from {from:?} to {to} loops");
            prop_assert_eq!(
                walk.places(),
                scenario.expected(&ports, from, to),
                "{:?} to {}",
                from,
                to
            );
            for delivery in &walk.deliveries {
                prop_assert_eq!(delivery.frame.mark, 0, "a mark leaked");
            }
            let allowed = &scenario.slices[from.slice].links;
            let is_allowed = |(a, b): &(u64, u64)| allowed.contains_key(&(*a.min(b), *a.max(b)));
            prop_assert!(
                walk.links.keys().all(is_allowed),
                "{:?} to {} used {:?}, allowed {:?}",
                from,
                to,
                walk.links,
                allowed
            );
        }
        // A source address that is not the port's own goes nowhere, and neither does LLDP.
        let spoofed = Frame::new(STRANGER, MacAddress::BROADCAST);
        let lldp = Frame { ethertype: 0x88cc, ..Frame::new(from.mac, MacAddress::BROADCAST) };
        for frame in [spoofed, lldp] {
            let walk = simulator.inject(from.switch, from.port, frame);
            prop_assert!(walk.deliveries.is_empty() && walk.links.is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Inside a network everyone reachable is reached exactly once, nobody outside it is, and only
    /// links of its slice are used.
    #[test]
    fn frames_reach_whom_they_should_and_nobody_else(scenario in scenario(40, 30)) {
        check(&scenario)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// After a restart of the controller, the first switch to connect gets the program that it has:
    /// the others are not taken to have lost what they have not reported yet.
    #[test]
    fn a_switch_that_has_not_reported_is_not_taken_to_have_lost_anything(
        scenario in scenario(10, 6),
    ) {
        let mut fabric = Fabric::new();
        scenario.put(&mut fabric);
        for first in scenario.switch_ids() {
            let mut restarted = Fabric::new();
            scenario.switch_ids().for_each(|switch| scenario.put_switch(&mut restarted, switch));
            scenario.put_wishes(&mut restarted);
            scenario.report(&mut restarted, first);
            prop_assert_eq!(restarted.program(id(first)), fabric.program(id(first)));
        }
    }

    /// What is removed leaves nothing behind.
    #[test]
    fn removing_everything_empties_every_program(scenario in scenario(10, 6)) {
        let mut fabric = Fabric::new();
        scenario.put(&mut fabric);
        scenario.remove(&mut fabric);
        for switch in scenario.switch_ids() {
            let program = fabric.program(id(switch));
            prop_assert_eq!(program, Program::default());
        }
    }
}
