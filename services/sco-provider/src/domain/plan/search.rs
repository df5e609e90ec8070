use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use l2sces_model::Name;

use super::{GatewayKey, Parts, Ways};

/// What it takes to reach a cluster: the cost of links first, then the number of gates, then how
/// little their gateways are preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Effort {
    links: u64,
    gates: usize,
    ranks: usize,
}

/// A cluster or a component of the graph of gateways.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hub<'names, T> {
    Cluster(&'names Name),
    Segment(T),
}

/// Gates that join all the clusters that can be joined, and none that could be left out: those of
/// `former` that work, where they help, and as cheap others as possible.
pub(super) fn gates(
    ways: &Ways,
    members: &BTreeSet<&Name>,
    former: &BTreeMap<GatewayKey, u16>,
) -> BTreeMap<GatewayKey, usize> {
    let mut tree = Tree::new(ways, former);
    // From each of them in turn: they may be in parts that cannot be joined.
    for member in members {
        while tree.reach_next(member, members) {}
    }
    let chosen = tree.gates;
    let is_former = |gateway: &GatewayKey| former.contains_key(gateway);
    pruned(&chosen, members, |gateway| {
        (is_former(gateway), Reverse(ways.position(gateway).unwrap_or(usize::MAX)))
    })
}

/// The gates, given with their segments, without those whose loss separates none of the clusters
/// from each other. Of several that make each other needless the lowest in rank goes.
pub(super) fn pruned<T: Copy + Ord, R: Ord>(
    gates: &BTreeMap<GatewayKey, T>,
    members: &BTreeSet<&Name>,
    rank: impl Fn(&GatewayKey) -> R,
) -> BTreeMap<GatewayKey, T> {
    let mut kept = gates.clone();
    let mut candidates: Vec<_> = gates.iter().collect();
    candidates.sort_by_key(|(gateway, _)| rank(gateway));
    let wanted = representatives(gates, members);
    for (gateway, segment) in candidates {
        kept.remove(gateway);
        if representatives(&kept, members) != wanted {
            kept.insert(gateway.clone(), *segment);
        }
    }
    kept
}

/// For each cluster, the first of those that it is joined to.
fn representatives<'names, T: Copy + Ord>(
    gates: &'names BTreeMap<GatewayKey, T>,
    members: &BTreeSet<&'names Name>,
) -> Vec<Option<&'names Name>> {
    let mut joined = Parts::default();
    for (gateway, segment) in gates {
        joined.join(&Hub::Cluster(&gateway.cluster), &Hub::Segment(*segment));
    }
    let mut first = BTreeMap::new();
    members
        .iter()
        .map(|member| {
            let part = joined.part(&Hub::Cluster(member));
            first.entry(part).or_insert(Some(*member)).to_owned()
        })
        .collect()
}

/// Gates that have been chosen, and what they join.
struct Tree<'ways> {
    ways: &'ways Ways,
    gates: BTreeMap<GatewayKey, usize>,
    /// The gate of a cluster in a component: the one that was chosen, else the one that would be.
    doors: BTreeMap<(&'ways Name, usize), usize>,
    chosen: BTreeSet<usize>,
}

/// How a cluster was reached: through which doors, from where.
type Step = (usize, usize);

impl<'ways> Tree<'ways> {
    /// A tree that begins with the gates that work already.
    fn new(ways: &'ways Ways, former: &BTreeMap<GatewayKey, u16>) -> Self {
        let mut tree =
            Self { ways, gates: BTreeMap::new(), doors: BTreeMap::new(), chosen: BTreeSet::new() };
        // Former gates take the doors first; two may have come to be in one component.
        for (gateway, _) in ways.in_order(former) {
            if let Some(at) = ways.position(gateway)
                && let Some(cluster) = ways.cluster_of(at)
            {
                let door = *tree.doors.entry((cluster, ways.component(at))).or_insert(at);
                tree.choose(door);
            }
        }
        for (cluster, gateways) in ways.clusters() {
            for at in gateways {
                tree.doors.entry((cluster, ways.component(*at))).or_insert(*at);
            }
        }
        tree
    }

    fn choose(&mut self, at: usize) {
        if self.chosen.insert(at) {
            self.gates.insert(self.ways.gateway(at).clone(), self.ways.component(at));
        }
    }

    /// Adds the cheapest way from what is joined to `root` to another member. False: there is none.
    fn reach_next(&mut self, root: &Name, members: &BTreeSet<&Name>) -> bool {
        let mut joined = Parts::default();
        for (gateway, component) in &self.gates {
            joined.join(&Hub::Cluster(&gateway.cluster), &Hub::Segment(*component));
        }
        let mut is_joined = |hub| joined.part(&hub) == joined.part(&Hub::Cluster(root));
        let sources: Vec<&'ways Name> =
            self.ways.clusters().keys().filter(|name| is_joined(Hub::Cluster(name))).collect();
        let own: BTreeSet<usize> = self
            .doors
            .keys()
            .map(|(_, component)| *component)
            .filter(|component| is_joined(Hub::Segment(*component)))
            .collect();

        let mut reached: BTreeMap<&Name, (Effort, Option<Step>)> = BTreeMap::new();
        let mut next: BinaryHeap<_> = sources
            .into_iter()
            .map(|cluster| Reverse((Effort::default(), cluster, None)))
            .collect();
        while let Some(Reverse((effort, cluster, step))) = next.pop() {
            if reached.contains_key(cluster) {
                continue;
            }
            let is_source = effort == Effort::default();
            reached.insert(cluster, (effort, step));
            if !is_source && members.contains(cluster) {
                self.add(cluster, &reached);
                return true;
            }
            for ((_, component), door) in self.doors_of(cluster) {
                // What is in the tree is left by the gates that it has.
                if is_source && own.contains(&component) && !self.chosen.contains(&door) {
                    continue;
                }
                for (neighbour, there) in self.doors_in(component) {
                    if let Some(links) = self.ways.cost(door, there) {
                        let effort = effort.and(self.effort(links, door, there));
                        next.push(Reverse((effort, neighbour, Some((door, there)))));
                    }
                }
            }
        }
        false
    }

    /// Adds the doors by which a cluster was reached.
    fn add(
        &mut self,
        cluster: &'ways Name,
        reached: &BTreeMap<&'ways Name, (Effort, Option<Step>)>,
    ) {
        let mut cluster = Some(cluster);
        while let Some((_, Some((door, there)))) = cluster.and_then(|name| reached.get(name)) {
            self.choose(*door);
            self.choose(*there);
            cluster = self.ways.cluster_of(*door);
        }
    }

    /// Nothing for what has been chosen already, but never nothing at all: it is a step.
    fn effort(&self, links: u64, door: usize, there: usize) -> Effort {
        let ends = [door, there];
        let new = ends.iter().filter(|at| !self.chosen.contains(at));
        let (mut gates, mut ranks) = (0, 0);
        for at in new {
            gates += 1;
            ranks += self.ways.rank(*at);
        }
        Effort { links: if gates == 0 { 0 } else { links }, gates: gates.max(1), ranks }
    }

    fn doors_of(
        &self,
        cluster: &'ways Name,
    ) -> impl Iterator<Item = ((&'ways Name, usize), usize)> {
        self.doors.range((cluster, 0)..=(cluster, usize::MAX)).map(|(key, at)| (*key, *at))
    }

    fn doors_in(&self, component: usize) -> impl Iterator<Item = (&'ways Name, usize)> {
        self.doors
            .iter()
            .filter(move |((_, other), _)| *other == component)
            .map(|((cluster, _), at)| (*cluster, *at))
    }
}

impl Effort {
    fn and(self, other: Self) -> Self {
        Self {
            links: self.links + other.links,
            gates: self.gates + other.gates,
            ranks: self.ranks + other.ranks,
        }
    }
}
