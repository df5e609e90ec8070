//! The usable graph of one slice, and the cheapest ways through it.
//!
//! Switches and ends of links are numbered, so that all ways of a large slice are two flat arrays.
//! Deterministic: the same graph gives the same ways, however it came to be.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Number of a switch in its slice.
pub(crate) type Node = u32;

/// What it costs to reach a destination.
pub(crate) type Cost = u64;

/// There is no way.
const UNREACHABLE: Cost = Cost::MAX;

/// One direction of a usable link, as its near end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arc {
    /// The switch at the far end.
    pub(crate) peer: Node,
    /// OpenFlow port of the near end; none while its switch has not reported its ports.
    pub(crate) port: Option<u32>,
    /// What it costs to use it, at least 1.
    pub(crate) cost: Cost,
}

/// The first hop of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The next switch.
    pub(crate) peer: Node,
    /// OpenFlow port towards it; none while it is not known.
    pub(crate) port: Option<u32>,
}

/// A graph of switches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// The arcs out of each switch, sorted.
    arcs: Vec<Vec<Arc>>,
    /// What it costs to go through a switch, beside its links.
    transit: Vec<Cost>,
}

impl Graph {
    pub(crate) fn new(transit: Vec<Cost>) -> Self {
        Self { arcs: vec![Vec::new(); transit.len()], transit }
    }

    /// How many switches there are.
    pub(crate) fn len(&self) -> usize {
        self.arcs.len()
    }

    /// Adds a link.
    pub(crate) fn link(&mut self, a: (Node, Option<u32>), b: (Node, Option<u32>), cost: Cost) {
        for ((from, port), (peer, _)) in [(a, b), (b, a)] {
            let Some(arcs) = self.arcs.get_mut(from as usize) else { continue };
            let arc = Arc { peer, port, cost };
            let at = arcs.binary_search(&arc).unwrap_or_else(|at| at);
            arcs.insert(at, arc);
        }
    }

    fn arcs(&self, node: Node) -> &[Arc] {
        self.arcs.get(node as usize).map_or(&[], Vec::as_slice)
    }

    /// The switches whose arcs differ between two graphs of the same switches.
    pub(crate) fn changed(&self, before: &Self) -> Vec<Node> {
        let pairs = self.arcs.iter().zip(&before.arcs).enumerate();
        pairs.filter(|(_, (now, then))| now != then).map(|(node, _)| node as Node).collect()
    }

    /// Whether going through each switch costs the same in both graphs.
    pub(crate) fn same_nodes(&self, other: &Self) -> bool {
        self.transit == other.transit
    }
}

/// The cheapest ways from everywhere to one destination.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    destination: Node,
    hops: Vec<Option<Hop>>,
    costs: Vec<Cost>,
}

/// What a switch that nobody can reach has installed: its one way to each destination.
pub(crate) type Held<'a> = &'a dyn Fn(Node) -> Option<Option<Hop>>;

impl Ways {
    /// The ways to a destination (Dijkstra's algorithm, from the destination outwards). `held` tells
    /// of a switch that cannot be changed what its first hop is: no other way leads through it.
    pub(crate) fn to(destination: Node, graph: &Graph, held: Held<'_>) -> Self {
        let mut ways = Self {
            destination,
            hops: vec![None; graph.len()],
            costs: vec![UNREACHABLE; graph.len()],
        };
        ways.costs[destination as usize] = 0;
        ways.spread(graph, held, BinaryHeap::from([Reverse((0, destination))]));
        ways
    }

    /// The first hop from a switch; none: there is no way, or it is the destination itself.
    pub(crate) fn hop(&self, from: Node) -> Option<Hop> {
        self.hops.get(from as usize).copied().flatten()
    }

    /// Whether a change of the arcs out of these switches can have changed a way. `graph` is the
    /// graph after the change.
    pub(crate) fn is_concerned(&self, graph: &Graph, changed: &[Node]) -> bool {
        changed.iter().any(|&node| {
            let cost = self.costs[node as usize];
            let best = self.best(graph, node, &|_| true);
            match (self.hop(node), best) {
                (None, None) => false,
                (Some(hop), Some((through, best))) => {
                    through != cost || best.peer != hop.peer || best.port != hop.port
                }
                (None, Some(_)) => node != self.destination,
                (Some(_), None) => true,
            }
        })
    }

    /// Computes the ways anew after the arcs out of some switches have changed: only the ways that
    /// led through such an arc, and those that a new one makes cheaper.
    pub(crate) fn repair(&mut self, graph: &Graph, held: Held<'_>, changed: &[Node]) {
        let mut stale = vec![false; self.hops.len()];
        let mut open: Vec<Node> = changed
            .iter()
            .copied()
            .filter(|&node| self.hop(node).is_some_and(|hop| !self.still_costs(graph, node, hop)))
            .collect();
        // Whoever went through one of them: its neighbours that had it as their next hop.
        while let Some(node) = open.pop() {
            if std::mem::replace(&mut stale[node as usize], true) {
                continue;
            }
            let through = |peer: Node| self.hop(peer).is_some_and(|hop| hop.peer == node);
            open.extend(graph.arcs(node).iter().map(|arc| arc.peer).filter(|peer| through(*peer)));
        }
        for node in (0..self.hops.len()).filter(|node| stale[*node]) {
            self.hops[node] = None;
            self.costs[node] = UNREACHABLE;
        }
        // The edge of what is settled spreads into what is not, and into what has become cheaper.
        let mut queue = BinaryHeap::new();
        for node in (0..self.hops.len() as Node).filter(|node| stale[*node as usize]) {
            queue.extend(graph.arcs(node).iter().filter_map(|arc| self.settled(arc.peer)));
        }
        queue.extend(changed.iter().filter_map(|node| self.settled(*node)));
        for node in changed {
            queue.extend(graph.arcs(*node).iter().filter_map(|arc| self.settled(arc.peer)));
        }
        self.spread(graph, held, queue);
    }

    fn settled(&self, node: Node) -> Option<Reverse<(Cost, Node)>> {
        let cost = self.costs[node as usize];
        (cost != UNREACHABLE).then_some(Reverse((cost, node)))
    }

    /// Whether a switch's hop is still there and costs what it did.
    fn still_costs(&self, graph: &Graph, node: Node, hop: Hop) -> bool {
        let cost = self.costs[node as usize];
        graph.arcs(node).iter().any(|arc| {
            arc.peer == hop.peer
                && arc.port == hop.port
                && self.through(graph, *arc).is_some_and(|through| through == cost)
        })
    }

    /// What it costs to go by an arc.
    fn through(&self, graph: &Graph, arc: Arc) -> Option<Cost> {
        let rest = self.costs[arc.peer as usize];
        if rest == UNREACHABLE {
            return None;
        }
        let transit =
            if arc.peer == self.destination { 0 } else { graph.transit[arc.peer as usize] };
        Some(rest.saturating_add(arc.cost).saturating_add(transit))
    }

    /// The best arc out of a switch: the cheapest way, then the lowest peer, then the lowest port.
    fn best(
        &self,
        graph: &Graph,
        node: Node,
        allowed: &dyn Fn(Hop) -> bool,
    ) -> Option<(Cost, Hop)> {
        let ways = graph.arcs(node).iter().filter_map(|arc| {
            let hop = Hop { peer: arc.peer, port: arc.port };
            Some((self.through(graph, *arc)?, hop)).filter(|_| allowed(hop))
        });
        ways.min_by_key(|(cost, hop)| (*cost, hop.peer, hop.port))
    }

    /// Settles switches in the order of their costs; each tells its neighbours.
    fn spread(
        &mut self,
        graph: &Graph,
        held: Held<'_>,
        mut queue: BinaryHeap<Reverse<(Cost, Node)>>,
    ) {
        while let Some(Reverse((cost, node))) = queue.pop() {
            if cost != self.costs[node as usize] {
                continue;
            }
            for back in graph.arcs(node) {
                let peer = back.peer;
                if peer == self.destination {
                    continue;
                }
                let known = self.costs[peer as usize];
                // Cheap test first: most arcs lead nowhere new.
                let transit =
                    if node == self.destination { 0 } else { graph.transit[node as usize] };
                if known < cost.saturating_add(back.cost).saturating_add(transit) {
                    continue;
                }
                let only = held(peer);
                let allowed = |hop: Hop| only.is_none_or(|only| only == Some(hop));
                let Some((through, hop)) = self.best(graph, peer, &allowed) else { continue };
                if through < known {
                    self.costs[peer as usize] = through;
                    queue.push(Reverse((through, peer)));
                }
                if through <= known {
                    self.hops[peer as usize] = Some(hop);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
