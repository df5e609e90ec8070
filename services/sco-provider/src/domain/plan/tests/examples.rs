use std::collections::BTreeSet;

use l2sces_model::{Epoch, Name};

use super::super::{Gate, Plan, Planned, Ways, plan};
use crate::domain::{GatewayKey, GatewayLink, Topology};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// `a1`: gateway 1 of cluster a.
fn gateway(text: &str) -> GatewayKey {
    GatewayKey { cluster: name(&text[..1]), node: name(text) }
}

/// Gateways in the order of preference, and links such as `a1-b1` or, with a cost, `a1-b1=3`.
pub(super) fn topology(gateways: &str, links: &str) -> Topology {
    let link = |text: &str| {
        let (ends, cost) = text.split_once('=').unwrap_or((text, "1"));
        let (a, b) = ends.split_once('-').unwrap();
        GatewayLink { a: gateway(a), b: gateway(b), cost: cost.parse().unwrap() }
    };
    Topology {
        gateways: gateways.split_whitespace().map(gateway).collect(),
        links: links.split_whitespace().map(link).collect(),
    }
}

pub(super) fn ways(topology: &Topology, failed: &str) -> Ways {
    let failed: BTreeSet<&str> = failed.split_whitespace().collect();
    Ways::new(
        topology,
        |gateway| !failed.contains(gateway.node.as_str()),
        |a, b| !failed.contains(format!("{}-{}", a.node, b.node).as_str()),
    )
}

pub(super) fn clusters(text: &str) -> Vec<Name> {
    text.chars().map(|cluster| name(&cluster.to_string())).collect()
}

/// Segments as sets of gates: `a1 b1 | b2 c1`.
fn shown(plan: &Plan) -> String {
    let mut segments = std::collections::BTreeMap::<u16, Vec<&str>>::new();
    for (gateway, segment, _) in plan.gateways() {
        if let Some(segment) = segment {
            segments.entry(segment).or_default().push(gateway.node.as_str());
        }
    }
    let mut texts: Vec<_> = segments.into_values().map(|gates| gates.join(" ")).collect();
    texts.sort();
    texts.join(" | ")
}

pub(super) fn fresh(topology: &Topology, failed: &str, members: &str) -> Planned {
    plan(&ways(topology, failed), &clusters(members), &Plan::default(), true)
}

pub(super) fn next(topology: &Topology, failed: &str, members: &str, former: &Plan) -> Plan {
    plan(&ways(topology, failed), &clusters(members), former, false).plan
}

#[test]
fn tunnels_carry_a_network_through_a_cluster_where_they_can() {
    let line = topology("a1 b1 c1", "a1-b1 b1-c1");
    assert_eq!(shown(&fresh(&line, "", "ac").plan), "a1 c1");
    assert_eq!(shown(&fresh(&line, "", "abc").plan), "a1 b1 c1");
}

#[test]
fn two_gateways_of_a_cluster_join_two_segments() {
    // Figure 1 of the paper.
    let figure = topology("a1 b1 b2 c1", "a1-b1 b2-c1");
    for members in ["ac", "abc"] {
        let plan = fresh(&figure, "", members).plan;
        assert_eq!(shown(&plan), "a1 b1 | b2 c1");
        let gates = plan.gates(&clusters(members));
        let of = |node: &str| gates.iter().find(|gate| gate.gateway.node == name(node)).unwrap();
        let Gate { inward, outward, .. } = of("b1");
        assert_eq!(outward, &BTreeSet::from([name("a")]));
        assert_eq!(inward, &clusters(&members[1..]).into_iter().collect());
        assert_eq!(of("c1").outward, clusters(&members[..members.len() - 1]).into_iter().collect());
    }
    assert_eq!(shown(&fresh(&figure, "", "ab").plan), "a1 b1");
}

#[test]
fn the_first_gateway_in_the_order_of_preference_is_taken() {
    let mesh = topology("a2 a1 b1", "a1-b1 a2-b1");
    assert_eq!(shown(&fresh(&mesh, "", "ab").plan), "a2 b1");
    assert_eq!(shown(&fresh(&mesh, "a2", "ab").plan), "a1 b1");
    assert_eq!(shown(&fresh(&mesh, "a2-b1", "ab").plan), "a1 b1");
}

#[test]
fn the_cheapest_links_are_taken_and_of_equal_ones_the_fewest_gates() {
    let planes = topology("a1 a2 b1 b2", "a1-b1=5 a2-b2=2");
    assert_eq!(shown(&fresh(&planes, "", "ab").plan), "a2 b2");
    // A long way round through other clusters, or a direct one that costs as much.
    let detour = topology("a1 a2 b1 b2 c1 c2", "a1-b1 b2-c1 a2-c2=2");
    assert_eq!(shown(&fresh(&detour, "", "ac").plan), "a2 c2");
    let dear = topology("a1 a2 b1 b2 c1 c2", "a1-b1 b2-c1 a2-c2=3");
    assert_eq!(shown(&fresh(&dear, "", "ac").plan), "a1 b1 | b2 c1");
}

#[test]
fn who_cannot_be_reached_is_named_and_the_others_are_served() {
    let line = topology("a1 b1 c1 d1", "a1-b1 b1-c1 c1-d1");
    let Planned { plan, unreached } = fresh(&line, "b1-c1", "abcd");
    assert_eq!(shown(&plan), "a1 b1 | c1 d1");
    assert_eq!(unreached, clusters("cd"));
    let Planned { plan, unreached } = fresh(&line, "c1-d1", "abd");
    assert_eq!(shown(&plan), "a1 b1");
    assert_eq!(unreached, clusters("d"));
    assert_eq!(fresh(&line, "", "a"), Planned { plan: Plan::default(), unreached: Vec::new() });
}

#[test]
fn a_failed_gateway_is_left_and_not_returned_to() {
    let mesh = topology("a1 a2 b1", "a1-b1 a2-b1");
    let first = fresh(&mesh, "", "ab").plan;
    assert_eq!((shown(&first).as_str(), first.epoch().get()), ("a1 b1", 1));
    let second = next(&mesh, "a1", "ab", &first);
    // Both could be used: another epoch.
    assert_eq!((shown(&second).as_str(), second.epoch().get()), ("a2 b1", 2));
    assert_eq!(next(&mesh, "", "ab", &second), second);
    let afresh = plan(&ways(&mesh, ""), &clusters("ab"), &second, true).plan;
    assert_eq!((shown(&afresh).as_str(), afresh.epoch().get()), ("a1 b1", 3));
}

#[test]
fn what_cannot_be_helped_stays_and_heals_by_itself() {
    let line = topology("a1 b1 c1", "a1-b1 b1-c1");
    let first = fresh(&line, "", "abc").plan;
    for failed in ["b1", "b1-c1", "a1 b1 c1"] {
        assert_eq!(next(&line, failed, "abc", &first), first, "{failed}");
    }
}

#[test]
fn a_leaf_comes_and_goes_within_an_epoch() {
    let mesh = topology("a1 b1 c1 c2", "a1-b1 a1-c1 a1-c2 b1-c1 b1-c2");
    let two = fresh(&mesh, "", "ab").plan;
    let three = next(&mesh, "", "abc", &two);
    assert_eq!((shown(&three).as_str(), three.epoch()), ("a1 b1 c1", two.epoch()));
    let again = next(&mesh, "", "ab", &three);
    assert_eq!((shown(&again).as_str(), again.epoch()), ("a1 b1", two.epoch()));
    // c1 may not have been told that it was left.
    let elsewhere = next(&mesh, "c1", "abc", &again);
    assert_eq!((shown(&elsewhere).as_str(), elsewhere.epoch()), ("a1 b1 c2", two.epoch().next()));
}

#[test]
fn segments_that_grow_together_move_nobody() {
    let figure = topology("a1 b1 b2 c1", "a1-b1 b2-c1 a1-c1");
    let first = fresh(&figure, "a1-c1", "abc").plan;
    assert_eq!(shown(&first), "a1 b1 | b2 c1");
    assert_eq!(next(&figure, "", "abc", &first), first);
    // Until it helps.
    let later = next(&figure, "b2", "abc", &first);
    assert_eq!(shown(&later), "a1 b1 c1");
    assert_ne!(later.epoch(), first.epoch());
}

#[test]
fn epochs_begin_again_after_the_last() {
    let mesh = topology("a1 a2 b1", "a1-b1 a2-b1");
    let mut plan = fresh(&mesh, "", "ab").plan;
    for turn in 1..=127 {
        plan = next(&mesh, if turn % 2 == 1 { "a1" } else { "a2" }, "ab", &plan);
    }
    assert_eq!(plan.epoch(), Epoch::NONE.next());
}
