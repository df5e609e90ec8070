//! Probes of agents: over the one link that they name, to the agent at its far end, and nowhere else.

use std::collections::BTreeMap;

use l2sces_fabric::Fabric;
use l2sces_model::{ETHERTYPE_PROBE, MacAddress, tunnel_address};
use l2sces_openflow::{Instruction, MatchField, port::LOCAL};
use proptest::prelude::*;

use crate::{
    scenario::{Scenario, id, scenario, tunnel},
    simulator::{Frame, Simulator},
};

/// A frame that an agent sends.
fn probe(destination: MacAddress) -> Frame {
    let source = MacAddress::new([0; 6]);
    Frame { ethertype: ETHERTYPE_PROBE, ..Frame::new(source, destination) }
}

/// Whether a slice that is measured has the link.
fn is_measured(scenario: &Scenario, a: u64, b: u64) -> bool {
    let mut slices = scenario.slices.iter();
    let link = (a.min(b), a.max(b));
    slices.any(|it| it.exists && it.is_measured && it.links.contains_key(&link))
}

fn check(scenario: &Scenario, simulator: &Simulator) -> Result<(), TestCaseError> {
    for a in scenario.switch_ids() {
        for b in scenario.switch_ids() {
            let walk = simulator.inject(a, LOCAL, probe(tunnel_address(tunnel(b).1)));
            if !is_measured(scenario, a, b) {
                prop_assert!(walk.deliveries.is_empty() && walk.links.is_empty(), "{a} to {b}");
                continue;
            }
            prop_assert_eq!(walk.places(), [(b, LOCAL)], "{} to {}", a, b);
            prop_assert_eq!(walk.links, BTreeMap::from([((a, b), 1)]), "the link alone");
            let came_by = walk.deliveries[0].frame.source;
            prop_assert_eq!(came_by, tunnel_address(tunnel(a).1), "as seen at the far end");
        }
        // What else the node sends there goes nowhere.
        let ordinary = Frame { ethertype: 0x0800, ..probe(tunnel_address(1)) };
        for frame in [probe(MacAddress::BROADCAST), ordinary] {
            let walk = simulator.inject(a, LOCAL, frame);
            prop_assert!(walk.deliveries.is_empty() && walk.links.is_empty());
        }
    }
    // What an endpoint sends is its network's, whatever it looks like; and nothing else reaches it.
    let ports = scenario.attached();
    for from in &ports {
        let links = scenario.switch_ids().map(|peer| tunnel_address(tunnel(peer).1));
        for to in links.chain([MacAddress::BROADCAST]) {
            let walk =
                simulator.inject(from.switch, from.port, Frame { source: from.mac, ..probe(to) });
            prop_assert_eq!(walk.places(), scenario.expected(&ports, from, to));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn probes_go_over_their_link_alone(scenario in scenario(12, 6)) {
        let mut fabric = Fabric::new();
        scenario.put(&mut fabric);
        check(&scenario, &scenario.simulator(|switch| fabric.program(id(switch))))?;
    }
}

/// A detector that finds nothing proves nothing: without the match on what belongs to no network, an
/// endpoint's frames reach the agent.
#[test]
fn an_endpoint_that_reaches_an_agent_is_found() {
    let mut scenario = Scenario::fixed(2, &[(1, 2)], &[&[1, 2]]);
    scenario.slices[0].is_measured = true;
    let mut fabric = Fabric::new();
    scenario.put(&mut fabric);
    let program = |switch| fabric.program(id(switch));
    check(&scenario, &scenario.simulator(program)).unwrap();
    let edited = |switch| {
        let mut program = program(switch);
        program.flows = program
            .flows
            .into_iter()
            .map(|(mut key, body)| {
                let is_of_no_network =
                    |field: &MatchField| matches!(field, MatchField::TunnelId { value: 0, .. });
                let fields = key.matching.fields().iter();
                key.matching = fields.filter(|field| !is_of_no_network(field)).cloned().collect();
                (key, body)
            })
            .collect();
        program
    };
    assert!(check(&scenario, &scenario.simulator(edited)).is_err());
    let deaf = |switch| {
        let mut program = program(switch);
        for body in program.flows.values_mut() {
            body.instructions.retain(|it| !matches!(it, Instruction::ApplyActions(_)));
        }
        program
    };
    assert!(check(&scenario, &scenario.simulator(deaf)).is_err());
}
