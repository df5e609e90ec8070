use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

const NONE_HELD: Held<'_> = &|_| None;

/// A graph with a link for each pair; a port towards a switch has its number.
fn graph(nodes: usize, links: &[(Node, Node, Cost)], transit: &[Cost]) -> Graph {
    let mut graph = Graph::new((0..nodes).map(|n| transit.get(n).copied().unwrap_or(0)).collect());
    for &(a, b, cost) in links {
        graph.link((a, Some(b)), (b, Some(a)), cost);
    }
    graph
}

fn peers(ways: &Ways, nodes: Node) -> Vec<Option<Node>> {
    (0..nodes).map(|from| ways.hop(from).map(|hop| hop.peer)).collect()
}

#[test]
fn the_cheapest_way_is_taken_and_the_lowest_peer_among_equals() {
    let graph = graph(4, &[(0, 1, 1), (1, 3, 1), (0, 2, 1), (2, 3, 1), (0, 3, 5)], &[]);
    let ways = Ways::to(3, &graph, NONE_HELD);
    assert_eq!(peers(&ways, 4), [Some(1), Some(3), Some(3), None]);
}

#[test]
fn a_switch_that_is_to_be_spared_is_gone_around_if_there_is_another_way() {
    let links = [(0, 1, 1), (1, 3, 1), (0, 2, 9), (2, 3, 9)];
    let ways = Ways::to(3, &graph(4, &links, &[0, 100]), NONE_HELD);
    assert_eq!(ways.hop(0).map(|hop| hop.peer), Some(2));
    assert_eq!(ways.hop(1).map(|hop| hop.peer), Some(3));
    let ways = Ways::to(3, &graph(4, &links[..2], &[0, 100]), NONE_HELD);
    assert_eq!(ways.hop(0).map(|hop| hop.peer), Some(1));
}

#[test]
fn no_way_leads_through_a_held_switch_but_its_own() {
    let graph = graph(4, &[(0, 1, 1), (1, 3, 1), (1, 2, 1), (2, 3, 9)], &[]);
    let held = |node| (node == 1).then_some(Some(Hop { peer: 2, port: Some(2) }));
    let ways = Ways::to(3, &graph, &held);
    assert_eq!(peers(&ways, 4), [Some(1), Some(2), Some(3), None]);
    let nowhere = |node| (node == 1).then_some(None);
    assert_eq!(peers(&Ways::to(3, &graph, &nowhere), 4), [None, None, Some(3), None]);
}

fn links(nodes: Node) -> impl Strategy<Value = BTreeMap<(Node, Node), Cost>> {
    vec(((0..nodes, 0..nodes), 1_u64..6), 0..40).prop_map(|links| {
        let links = links.into_iter().filter(|((a, b), _)| a != b);
        links.map(|((a, b), cost)| ((a.min(b), a.max(b)), cost)).collect()
    })
}

fn build(nodes: Node, links: &BTreeMap<(Node, Node), Cost>, transit: &[Cost]) -> Graph {
    let links: Vec<_> = links.iter().map(|(&(a, b), &cost)| (a, b, cost)).collect();
    graph(nodes as usize, &links, transit)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Every way ends at its destination and costs get less with every hop.
    #[test]
    fn ways_end(links in links(12), transit in vec(0_u64..20, 12)) {
        let graph = build(12, &links, &transit);
        for destination in 0..12 {
            let ways = Ways::to(destination, &graph, NONE_HELD);
            for from in 0..12 {
                let mut at = from;
                while let Some(hop) = ways.hop(at) {
                    prop_assert!(ways.costs[hop.peer as usize] < ways.costs[at as usize]);
                    at = hop.peer;
                }
                prop_assert!(at == destination || ways.hop(from).is_none());
            }
        }
    }

    /// A repair gives what computing everything anew gives, whatever changed.
    #[test]
    fn a_repair_is_as_good_as_new(
        before in links(10),
        after in links(10),
        keep in vec(any::<bool>(), 40),
        transit in vec(0_u64..4, 10),
    ) {
        let mut mixed = before.clone();
        for ((link, cost), keep) in after.iter().zip(&keep) {
            if *keep { mixed.remove(link); } else { mixed.insert(*link, *cost); }
        }
        let (before, mixed) = (build(10, &before, &transit), build(10, &mixed, &transit));
        let changed = mixed.changed(&before);
        for destination in 0..10 {
            let mut ways = Ways::to(destination, &before, NONE_HELD);
            let fresh = Ways::to(destination, &mixed, NONE_HELD);
            let differs = ways.hops != fresh.hops || ways.costs != fresh.costs;
            prop_assert!(!differs || ways.is_concerned(&mixed, &changed));
            ways.repair(&mixed, NONE_HELD, &changed);
            prop_assert_eq!(&ways.hops, &fresh.hops);
            prop_assert_eq!(&ways.costs, &fresh.costs);
        }
    }
}
