//! The usable graph of one slice: shortest ways and trees. Deterministic: among ways of the same
//! cost, the one over the switch with the lowest datapath id is taken.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use l2sces_model::DatapathId;

/// One direction of a usable link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The switch at the far end.
    pub(crate) peer: DatapathId,
    /// OpenFlow port of the near end; none while its switch has not reported its ports.
    pub(crate) port: Option<u32>,
    /// OpenFlow port of the far end, likewise.
    pub(crate) peer_port: Option<u32>,
    /// What it costs to use the link.
    pub(crate) cost: u64,
}

/// One end of a link: a switch, and its OpenFlow port if it is known.
pub(crate) type End = (DatapathId, Option<u32>);

/// For each switch from which a destination can be reached: its first edge on the way.
pub(crate) type Routes = BTreeMap<DatapathId, Edge>;

/// A graph of switches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    edges: BTreeMap<DatapathId, Vec<Edge>>,
}

impl Topology {
    /// Adds a link between two ends, each a switch and its OpenFlow port.
    pub(crate) fn link(&mut self, a: End, b: End, cost: u64) {
        for ((from, port), (peer, peer_port)) in [(a, b), (b, a)] {
            self.edges.entry(from).or_default().push(Edge { peer, port, peer_port, cost });
        }
    }

    /// The edges of a switch.
    pub(crate) fn edges(&self, switch: DatapathId) -> &[Edge] {
        self.edges.get(&switch).map_or(&[], Vec::as_slice)
    }

    /// The first edges of the cheapest ways from everywhere to a destination (Dijkstra from the
    /// destination; links cost the same both ways).
    pub(crate) fn routes_to(&self, destination: DatapathId) -> Routes {
        let mut routes = Routes::new();
        let mut distances = BTreeMap::from([(destination, 0_u64)]);
        let mut settled = BTreeSet::new();
        let mut queue = BinaryHeap::from([Reverse((0_u64, destination))]);
        while let Some(Reverse((distance, switch))) = queue.pop() {
            if !settled.insert(switch) {
                continue;
            }
            for edge in self.edges(switch) {
                let through = distance + edge.cost;
                if distances.get(&edge.peer).is_some_and(|known| *known <= through) {
                    continue;
                }
                distances.insert(edge.peer, through);
                routes.insert(
                    edge.peer,
                    Edge {
                        peer: switch,
                        port: edge.peer_port,
                        peer_port: edge.port,
                        cost: edge.cost,
                    },
                );
                queue.push(Reverse((through, edge.peer)));
            }
        }
        routes
    }

    /// A tree that joins the members, as the tree's ports of each switch on it: the union of the
    /// cheapest ways to the member with the lowest datapath id. Members that cannot reach it form
    /// trees of their own. Every member is in the result, if only without ports.
    pub(crate) fn tree(
        &self,
        members: &BTreeSet<DatapathId>,
    ) -> BTreeMap<DatapathId, BTreeSet<u32>> {
        let mut tree: BTreeMap<DatapathId, BTreeSet<u32>> = BTreeMap::new();
        for &root in members {
            if tree.contains_key(&root) {
                continue;
            }
            tree.entry(root).or_default();
            let routes = self.routes_to(root);
            for &member in members {
                for (switch, edge) in way(&routes, member) {
                    tree.entry(switch).or_default().extend(edge.port);
                    tree.entry(edge.peer).or_default().extend(edge.peer_port);
                }
            }
        }
        tree
    }
}

/// The edges from a switch to the destination of the routes; none where there is no way.
pub(crate) fn way(
    routes: &Routes,
    from: DatapathId,
) -> impl Iterator<Item = (DatapathId, Edge)> + '_ {
    let mut at = from;
    std::iter::from_fn(move || {
        let edge = *routes.get(&at)?;
        let here = std::mem::replace(&mut at, edge.peer);
        Some((here, edge))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> DatapathId {
        DatapathId::try_from(number).unwrap()
    }

    /// A graph with a link for each pair; the port towards a switch has its number.
    fn graph(links: &[(u64, u64)]) -> Topology {
        let mut topology = Topology::default();
        for &(a, b) in links {
            topology.link((id(a), Some(b as u32)), (id(b), Some(a as u32)), 1);
        }
        topology
    }

    #[test]
    fn routes_take_the_cheapest_way() {
        let mut topology = graph(&[(1, 2), (2, 3)]);
        topology.link((id(1), Some(3)), (id(3), Some(1)), 10);
        let routes = topology.routes_to(id(3));
        assert_eq!(routes[&id(1)].port, Some(2));
        assert_eq!(routes[&id(2)].port, Some(3));
        assert!(!routes.contains_key(&id(3)));
    }

    #[test]
    fn trees_leave_out_what_joins_no_member() {
        let topology = graph(&[(1, 2), (2, 3), (2, 4), (5, 6)]);
        let tree = topology.tree(&BTreeSet::from([id(1), id(3), id(5)]));
        assert_eq!(tree[&id(2)], BTreeSet::from([1, 3]));
        assert_eq!(tree[&id(5)], BTreeSet::new());
        assert!(!tree.contains_key(&id(4)));
        assert!(!tree.contains_key(&id(6)));
    }

    proptest! {
        /// Every way ends at its destination without meeting a switch twice, and a tree has one
        /// edge less than vertices per component.
        #[test]
        fn ways_end_and_trees_have_no_cycle(
            links in proptest::collection::btree_set((1_u64..12, 1_u64..12), 0..40),
            members in proptest::collection::btree_set(1_u64..12, 1..8),
        ) {
            let links: BTreeSet<_> =
                links.into_iter().filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b))).collect();
            let topology = graph(&links.into_iter().collect::<Vec<_>>());
            for destination in 1..12 {
                let routes = topology.routes_to(id(destination));
                for &from in routes.keys() {
                    let seen: Vec<_> = way(&routes, from).take(20).collect();
                    prop_assert!(seen.len() < 12);
                    prop_assert_eq!(seen.last().unwrap().1.peer, id(destination));
                }
            }
            let members: BTreeSet<_> = members.into_iter().map(id).collect();
            let tree = topology.tree(&members);
            let ends: usize = tree.values().map(BTreeSet::len).sum();
            let mut roots = 0;
            let mut reached: BTreeSet<DatapathId> = BTreeSet::new();
            for &start in tree.keys() {
                if reached.contains(&start) { continue; }
                roots += 1;
                let mut open = vec![start];
                while let Some(at) = open.pop() {
                    if reached.insert(at) {
                        open.extend(tree[&at].iter().map(|port| id(u64::from(*port))));
                    }
                }
            }
            prop_assert_eq!(ends / 2, tree.len() - roots);
        }
    }
}
