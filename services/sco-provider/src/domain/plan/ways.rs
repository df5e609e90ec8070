use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use l2sces_model::Name;

use super::{GatewayKey, Parts};
use crate::domain::Topology;

/// The gateways and links of a slice that work: which gateways reach each other, and at what cost.
#[derive(Debug)]
pub struct Ways {
    /// In the order of preference.
    gateways: Vec<GatewayKey>,
    index: BTreeMap<GatewayKey, usize>,
    /// The gateways of each cluster, in the order of preference.
    clusters: BTreeMap<Name, Vec<usize>>,
    /// For each gateway, the connected part of the graph that it is in.
    components: Vec<usize>,
    /// For each gateway, what the cheapest way to every gateway costs that it reaches.
    costs: Vec<BTreeMap<usize, u64>>,
}

impl Ways {
    /// The ways of a slice of which only some gateways and links work.
    pub fn new(
        topology: &Topology,
        gateway_works: impl Fn(&GatewayKey) -> bool,
        link_works: impl Fn(&GatewayKey, &GatewayKey) -> bool,
    ) -> Self {
        let gateways: Vec<GatewayKey> =
            topology.gateways.iter().filter(|gateway| gateway_works(gateway)).cloned().collect();
        let index: BTreeMap<_, _> =
            gateways.iter().enumerate().map(|(at, gateway)| (gateway.clone(), at)).collect();
        let mut neighbours: Vec<Vec<(usize, u64)>> = vec![Vec::new(); gateways.len()];
        for link in &topology.links {
            if let (Some(a), Some(b)) = (index.get(&link.a), index.get(&link.b))
                && link_works(&link.a, &link.b)
            {
                neighbours[*a].push((*b, u64::from(link.cost)));
                neighbours[*b].push((*a, u64::from(link.cost)));
            }
        }
        let costs: Vec<_> = (0..gateways.len()).map(|from| distances(&neighbours, from)).collect();
        let components = costs
            .iter()
            .map(|reached| reached.keys().next().copied().unwrap_or_default())
            .collect();
        let mut clusters: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
        for (at, gateway) in gateways.iter().enumerate() {
            clusters.entry(gateway.cluster.clone()).or_default().push(at);
        }
        Self { gateways, index, clusters, components, costs }
    }

    pub(super) fn gateway(&self, at: usize) -> &GatewayKey {
        &self.gateways[at]
    }

    pub(super) fn cluster_of(&self, at: usize) -> Option<&Name> {
        self.clusters.get_key_value(&self.gateways[at].cluster).map(|(name, _)| name)
    }

    /// Where a gateway is in the order of preference; none if it does not work.
    pub(super) fn position(&self, gateway: &GatewayKey) -> Option<usize> {
        self.index.get(gateway).copied()
    }

    /// Where a gateway is in the order of preference within its cluster.
    pub(super) fn rank(&self, at: usize) -> usize {
        let others = self.clusters.get(&self.gateways[at].cluster);
        others.and_then(|all| all.iter().position(|other| *other == at)).unwrap_or_default()
    }

    pub(super) fn component(&self, at: usize) -> usize {
        self.components[at]
    }

    /// The gateways of each cluster, in the order of preference.
    pub(super) fn clusters(&self) -> &BTreeMap<Name, Vec<usize>> {
        &self.clusters
    }

    /// What the cheapest way between two gateways costs; none if there is no way.
    pub(super) fn cost(&self, from: usize, to: usize) -> Option<u64> {
        self.costs[from].get(&to).copied()
    }

    /// Gates in the order of preference of their gateways.
    pub(super) fn in_order<'gates, T: Copy>(
        &self,
        gates: &'gates BTreeMap<GatewayKey, T>,
    ) -> Vec<(&'gates GatewayKey, T)> {
        let mut ordered: Vec<_> = gates.iter().map(|(gateway, at)| (gateway, *at)).collect();
        ordered.sort_by_key(|(gateway, _)| self.position(gateway).unwrap_or(usize::MAX));
        ordered
    }

    /// Which of the clusters could reach each other if the network used every gateway.
    pub(super) fn parts<'names>(
        &'names self,
        clusters: &BTreeSet<&'names Name>,
    ) -> BTreeSet<BTreeSet<&'names Name>> {
        let mut joined = Parts::default();
        for (at, gateway) in self.gateways.iter().enumerate() {
            joined.join(&Place::Cluster(&gateway.cluster), &Place::Component(self.components[at]));
        }
        grouped(joined, clusters)
    }

    /// Which of the clusters reach each other by the gates that work, given with their segments. A
    /// segment may have fallen apart.
    pub(super) fn parts_by<'names>(
        &self,
        gates: &'names BTreeMap<GatewayKey, u16>,
        clusters: &BTreeSet<&'names Name>,
    ) -> BTreeSet<BTreeSet<&'names Name>> {
        let mut joined = Parts::default();
        for (gateway, segment) in gates {
            if let Some(at) = self.position(gateway) {
                let hub = Place::Segment(*segment, self.components[at]);
                joined.join(&Place::Cluster(&gateway.cluster), &hub);
            }
        }
        grouped(joined, clusters)
    }
}

/// What gates join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'names> {
    Cluster(&'names Name),
    Component(usize),
    /// What is left together of a segment.
    Segment(u16, usize),
}

fn grouped<'names>(
    mut joined: Parts<Place<'names>>,
    clusters: &BTreeSet<&'names Name>,
) -> BTreeSet<BTreeSet<&'names Name>> {
    let mut groups: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for cluster in clusters {
        groups.entry(joined.part(&Place::Cluster(cluster))).or_default().insert(*cluster);
    }
    groups.into_values().collect()
}

/// What the cheapest way from one vertex to each that it reaches costs.
fn distances(neighbours: &[Vec<(usize, u64)>], from: usize) -> BTreeMap<usize, u64> {
    let mut found = BTreeMap::new();
    let mut next = BinaryHeap::from([Reverse((0, from))]);
    while let Some(Reverse((cost, vertex))) = next.pop() {
        if found.contains_key(&vertex) {
            continue;
        }
        found.insert(vertex, cost);
        for (neighbour, step) in &neighbours[vertex] {
            next.push(Reverse((cost + step, *neighbour)));
        }
    }
    found
}
