use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::Name;
use proptest::prelude::*;

use super::{
    super::{Plan, Planned},
    walk::broadcast,
    world::{Dice, World, gates, history, seeds},
};
use crate::domain::GatewayKey;

/// Clusters and segments joined by gates have no circle: a graph is a forest if it has as many
/// edges as vertices less parts.
fn is_forest(gates: &BTreeMap<GatewayKey, u16>) -> bool {
    let ends = |(gateway, segment): (&'_ GatewayKey, &u16)| {
        [format!("cluster {}", gateway.cluster), format!("segment {segment}")]
    };
    let mut parts: Vec<BTreeSet<String>> = Vec::new();
    for gate in gates.iter().map(|(gateway, segment)| ends((gateway, segment))) {
        let (touched, mut rest): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| gate.iter().any(|end| part.contains(end)));
        rest.push(touched.into_iter().flatten().chain(gate).collect());
        parts = rest;
    }
    let vertices: usize = parts.iter().map(BTreeSet::len).sum();
    gates.len() + parts.len() == vertices
}

fn without(gates: &BTreeMap<GatewayKey, u16>, gateway: &GatewayKey) -> BTreeMap<GatewayKey, u16> {
    let mut fewer = gates.clone();
    fewer.remove(gateway);
    fewer
}

/// What must hold of every plan, however it came about.
fn assert_sound(world: &World, planned: &Planned) {
    let plan = &planned.plan;
    let chosen = gates(plan);
    assert!(is_forest(&chosen), "{plan:?}");
    let reachable = world.parts(None);
    assert_eq!(world.parts(Some(plan)), reachable, "it reaches all that can be reached: {plan:?}");
    let nominal = world.nominal_parts(&chosen);
    for gateway in chosen.keys() {
        assert_ne!(
            world.nominal_parts(&without(&chosen, gateway)),
            nominal,
            "{gateway} is needless"
        );
    }
    assert_eq!(plan.epoch().get() > 0, plan.gateways().next().is_some(), "{plan:?}");
    let largest = reachable.iter().map(BTreeSet::len).max().unwrap_or_default();
    assert_eq!(planned.unreached.len(), world.members.len() - largest);
}

/// Members on both sides of every gate, from the definition.
fn assert_sides(world: &World, plan: &Plan) {
    for gate in plan.gates(&world.members()) {
        let sides = gate.inward.union(&gate.outward).count();
        assert_eq!(sides, gate.inward.len() + gate.outward.len(), "no cluster is on both sides");
        assert!(!gate.inward.is_empty() && !gate.outward.is_empty(), "{gate:?} leads somewhere");
        let own = gate.inward.contains(&gate.gateway.cluster);
        assert_eq!(own, world.members.contains(&gate.gateway.cluster));
        let part = world.nominal_parts(&gates(plan)).into_iter();
        let part = part.into_iter().find(|part| part.contains(gate.outward.first().unwrap()));
        let joined: BTreeSet<Name> = gate.inward.union(&gate.outward).cloned().collect();
        assert_eq!(part, Some(joined));
        // Both sides are what is left together when the gate is taken away.
        let cut = world.nominal_parts(&without(&gates(plan), &gate.gateway));
        assert!(cut.contains(&gate.inward) && cut.contains(&gate.outward), "{gate:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_plan_is_a_tree_that_spans_what_can_be_reached_and_no_more(seed in seeds()) {
        let mut world = World::random(seed);
        let mut dice = Dice::new(seed.rotate_left(7));
        let mut plan = Plan::default();
        let mut is_afresh = true;
        for _ in 0..20 {
            let planned = world.plan(&plan, is_afresh);
            assert_sound(&world, &planned);
            assert_sides(&world, &planned.plan);
            plan = planned.plan;
            is_afresh = world.happen(&mut dice);
        }
    }

    #[test]
    fn a_fresh_plan_uses_only_what_works_and_one_gate_in_a_cluster_and_segment(seed in seeds()) {
        let mut world = World::random(seed);
        let mut dice = Dice::new(seed.rotate_left(13));
        for _ in 0..10 {
            world.happen(&mut dice);
        }
        let plan = world.plan(&Plan::default(), true).plan;
        let chosen = gates(&plan);
        assert!(chosen.keys().all(|gateway| !world.failed_gateways.contains(gateway)));
        let doors: BTreeSet<_> = chosen.iter().map(|(gateway, segment)| (&gateway.cluster, segment)).collect();
        assert_eq!(doors.len(), chosen.len());
        // All that is in one segment reaches each other, and so is one part of what works.
        let ways = world.ways();
        let components: BTreeSet<_> = chosen
            .iter()
            .map(|(gateway, segment)| (segment, ways.component(ways.position(gateway).unwrap())))
            .collect();
        let segments: BTreeSet<_> = chosen.values().collect();
        assert_eq!(components.len(), segments.len());
        // Nothing depends on the order in which links are listed.
        world.topology.links.reverse();
        assert_eq!(world.plan(&Plan::default(), true).plan, plan);
    }

    #[test]
    fn nobody_moves_while_nothing_is_to_be_gained(seed in seeds()) {
        let mut world = World::random(seed);
        let mut dice = Dice::new(seed.rotate_left(21));
        let mut plan = world.plan(&Plan::default(), true).plan;
        for _ in 0..20 {
            let members = world.members.clone();
            let is_afresh = world.happen(&mut dice);
            let next = world.plan(&plan, is_afresh).plan;
            let suffices = world.parts(Some(&plan)) == world.parts(None);
            if suffices && !is_afresh && members == world.members {
                assert_eq!(next, plan);
            }
            plan = next;
        }
    }

    #[test]
    fn no_frame_loops_or_arrives_twice_whichever_plans_switches_believe_in(seed in seeds()) {
        let (world, plans) = history(seed, 40);
        let mut dice = Dice::new(seed.rotate_left(40));
        for source in &world.clusters {
            for _ in 0..10 {
                let arrivals = broadcast(&plans, source, &mut dice).unwrap();
                assert!(arrivals.values().all(|count| *count == 1), "{arrivals:?} of {source}");
            }
        }
        // And those who all believe in the last get it exactly once.
        let last = &plans[plans.len() - 1..];
        for part in world.nominal_parts(&gates(&last[0])) {
            for source in &part {
                let arrivals = broadcast(last, source, &mut dice).unwrap();
                let reached: BTreeSet<Name> = arrivals.into_keys().filter(|name| world.members.contains(name)).collect();
                assert_eq!(&reached, &part);
            }
        }
    }

    #[test]
    fn a_plan_that_was_stored_is_the_same(seed in seeds()) {
        let (_, plans) = history(seed, 10);
        for plan in plans {
            let stored: Vec<_> = plan.gateways().map(|(key, segment, part)| (key.clone(), segment, part)).collect();
            assert_eq!(Plan::restored(plan.epoch(), stored), plan);
        }
    }
}

/// Seeds that differ in many bits.
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The walk would notice: with one epoch for everything, frames loop or arrive twice.
#[test]
fn without_epochs_frames_would_arrive_twice() {
    let faulty = (1..=200).map(spread).filter(|seed| {
        let (world, plans) = history(*seed, 40);
        let same = l2sces_model::Epoch::MAX;
        let plans: Vec<Plan> = plans
            .iter()
            .map(|plan| {
                let gateways =
                    plan.gateways().map(|(key, segment, part)| (key.clone(), segment, part));
                Plan::restored(same, gateways)
            })
            .collect();
        let mut dice = Dice::new(*seed);
        world.clusters.iter().any(|source| {
            (0..10).any(|_| match broadcast(&plans, source, &mut dice) {
                Ok(arrivals) => arrivals.values().any(|count| *count > 1),
                Err(_) => true,
            })
        })
    });
    let faulty = faulty.count();
    assert!(faulty > 30, "{faulty} of 200");
}

/// Most changes that add or remove a cluster at the edge keep the epoch.
#[test]
fn epochs_are_not_spent_without_need() {
    let (mut changes, mut kept) = (0, 0);
    for seed in (1..=200).map(spread) {
        let (_, plans) = history(seed, 20);
        for pair in plans.windows(2).filter(|pair| gates(&pair[0]) != gates(&pair[1])) {
            changes += 1;
            kept += usize::from(pair[0].epoch() == pair[1].epoch());
        }
    }
    assert!(kept * 3 > changes, "{kept} of {changes}");
}
