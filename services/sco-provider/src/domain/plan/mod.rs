//! How a network crosses clusters.
//!
//! The bridges between clusters (br-ned) form a graph of their own, whose connected parts are
//! called *segments*: within one, a frame reaches every gateway. A *gate* is a gateway whose trunk a
//! network uses: it joins the gateway's cluster to the gateway's segment. The gates of a network are
//! chosen such that clusters and segments, joined by them, are a tree: there is one way between any
//! two clusters, so that no frame can come back or arrive twice. Where two segments are joined by
//! nothing but a cluster, the network crosses it, whether it has ports there or not.
//!
//! ```text
//!   cluster a --[a1]-- segment 1 --[b1]-- cluster b --[b2]-- segment 2 --[c1]-- cluster c
//! ```
//!
//! Plans are *sticky*: a gate stays for as long as no other choice would reach more clusters. What
//! has failed and cannot be helped stays as it is too, and heals by itself; and what has healed
//! moves nobody back.
//!
//! A plan is not carried out everywhere at once, and a gateway that is cut off from its controllers
//! goes on with the one that it knows. The *epoch* tells whose frames a trunk takes: within an epoch,
//! the gates of all its plans together are still no more than a tree (see [`Plan::followed_by`]).
//! Between epochs, frames go over without loss (see [`Succession`]).

mod parts;
mod search;
mod succession;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::{Epoch, Name};

use super::GatewayKey;
use parts::Parts;
pub use succession::{Passage, Stage, Succession};
pub use ways::Ways;

/// The gates of a network.
///
/// Numbers of segments mean nothing beyond the plan, but stay as they are where gates do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    epoch: Epoch,
    gates: BTreeMap<GatewayKey, u16>,
    used: BTreeMap<GatewayKey, u16>,
}

/// A plan, and whom it leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Clusters of the network that cannot be reached from its others, or only from each other: all
    /// but those of the largest part.
    pub unreached: Vec<Name>,
}

/// A gate and what it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The gateway.
    pub gateway: GatewayKey,
    /// Its segment.
    pub segment: u16,
    /// The network's clusters on the side of the gateway's cluster, seen from the segment.
    pub inward: BTreeSet<Name>,
    /// The network's clusters on the side of the segment, seen from the cluster.
    pub outward: BTreeSet<Name>,
}

/// A vertex of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Vertex<'plan> {
    Cluster(&'plan Name),
    Segment(u16),
}

impl Plan {
    /// A plan as it was stored: gateways with their segment, if they are gates of the plan, and the
    /// part of the epoch's gates that they belong to.
    pub fn restored(
        epoch: Epoch,
        gateways: impl IntoIterator<Item = (GatewayKey, Option<u16>, u16)>,
    ) -> Self {
        let mut plan = Self { epoch, ..Self::default() };
        for (gateway, segment, part) in gateways {
            if let Some(segment) = segment {
                plan.gates.insert(gateway.clone(), segment);
            }
            plan.used.insert(gateway, part);
        }
        plan
    }

    /// What [`restored`](Self::restored) takes.
    pub fn gateways(&self) -> impl Iterator<Item = (&GatewayKey, Option<u16>, u16)> {
        self.used.iter().map(|(gateway, part)| (gateway, self.segment(gateway), *part))
    }

    /// Whose frames its trunks take; [`Epoch::NONE`] of a network that never had a gate.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it joins anything.
    pub fn has_gates(&self) -> bool {
        !self.gates.is_empty()
    }

    /// The segment that a gateway joins its cluster to, if it is a gate.
    pub fn segment(&self, gateway: &GatewayKey) -> Option<u16> {
        self.gates.get(gateway).copied()
    }

    /// The gates of a network that spans `clusters`, in the order of their names.
    pub fn gates(&self, clusters: &[Name]) -> Vec<Gate> {
        self.gates
            .iter()
            .map(|(gateway, segment)| Gate {
                gateway: gateway.clone(),
                segment: *segment,
                inward: self.beyond(gateway, Vertex::Cluster(&gateway.cluster), clusters),
                outward: self.beyond(gateway, Vertex::Segment(*segment), clusters),
            })
            .collect()
    }

    /// Whether some of the clusters that its gates join have lost each other, since gateways or links
    /// do not work.
    pub fn is_torn(&self, ways: &Ways, clusters: &[Name]) -> bool {
        let members: BTreeSet<&Name> = clusters.iter().collect();
        let mut joined: Parts<Vertex<'_>> = Parts::default();
        for (gateway, segment) in &self.gates {
            joined.join(&Vertex::Cluster(&gateway.cluster), &Vertex::Segment(*segment));
        }
        let planned: BTreeSet<_> =
            clusters.iter().map(|cluster| joined.part(&Vertex::Cluster(cluster))).collect();
        ways.parts_by(&self.gates, &members).len() > planned.len()
    }

    /// Those of the clusters that are reached from one end of a gate without passing it.
    fn beyond(&self, gate: &GatewayKey, end: Vertex<'_>, clusters: &[Name]) -> BTreeSet<Name> {
        let mut reached = BTreeSet::from([end]);
        let mut next = vec![end];
        while let Some(vertex) = next.pop() {
            for (gateway, segment) in self.gates.iter().filter(|(gateway, _)| *gateway != gate) {
                let ends = [Vertex::Cluster(&gateway.cluster), Vertex::Segment(*segment)];
                if ends.contains(&vertex) {
                    next.extend(ends.into_iter().filter(|end| reached.insert(*end)));
                }
            }
        }
        clusters.iter().filter(|name| reached.contains(&Vertex::Cluster(name))).cloned().collect()
    }

    /// The plan with other gates, which follows this one.
    ///
    /// Every switch goes over from this plan to that at a time of its own, and one that cannot be
    /// told stays behind, perhaps for many plans. So the epoch is kept only if all gates that the
    /// epoch has ever had, and the new ones, are together still a tree (or several): whichever of
    /// them a switch believes in, frames move along that tree and never back, hence arrive at most
    /// once. Parts of the network count as joined when any plan of the epoch has joined them.
    /// Otherwise the next epoch begins, and no trunk takes frames of both.
    #[must_use]
    pub fn followed_by(&self, gates: BTreeMap<GatewayKey, u16>) -> Self {
        if gates == self.gates {
            return self.clone();
        }
        let mut parts: Parts<&GatewayKey> = Parts::default();
        for joined in [&self.used, &gates] {
            let mut first: BTreeMap<u16, &GatewayKey> = BTreeMap::new();
            for (gateway, part) in joined {
                parts.join(&gateway, first.entry(*part).or_insert(gateway));
            }
        }
        let used = parts.numbered();
        let starts = self.epoch == Epoch::NONE && !gates.is_empty();
        if !starts && is_forest(&used) {
            return Self { epoch: self.epoch, gates, used };
        }
        Self { epoch: self.epoch.next(), used: gates.clone(), gates }
    }
}

/// Whether clusters and parts, joined by gateways, have no circle.
fn is_forest(gateways: &BTreeMap<GatewayKey, u16>) -> bool {
    let mut joined: Parts<Vertex<'_>> = Parts::default();
    gateways.iter().all(|(gateway, part)| {
        joined.join(&Vertex::Cluster(&gateway.cluster), &Vertex::Segment(*part))
    })
}

/// Plans a network that spans `clusters`, given the ways that work now and the plan so far.
///
/// `former` is kept as far as it can be; to begin anew, because the slice has changed, pass
/// `is_afresh`. The gates are as few and the links between them as cheap as a greedy search makes
/// them; of a cluster's gateways in a segment the first in the order of preference is taken.
pub fn plan(ways: &Ways, clusters: &[Name], former: &Plan, is_afresh: bool) -> Planned {
    let members: BTreeSet<&Name> = clusters.iter().collect();
    let reachable = ways.parts(&members);
    if !is_afresh {
        let kept = search::pruned(&former.gates, &members, |_| 0);
        if ways.parts_by(&kept, &members) == reachable {
            return Planned { plan: former.followed_by(kept), unreached: unreached(reachable) };
        }
    }
    let none = BTreeMap::new();
    let gates = search::gates(ways, &members, if is_afresh { &none } else { &former.gates });
    let numbers = numbers(ways, &gates, former);
    let gates = gates
        .into_iter()
        .filter_map(|(gateway, component)| Some((gateway, *numbers.get(&component)?)))
        .collect();
    Planned { plan: former.followed_by(gates), unreached: unreached(reachable) }
}

/// A number for each segment: that of a gate which stays, if there is one.
fn numbers(
    ways: &Ways,
    gates: &BTreeMap<GatewayKey, usize>,
    former: &Plan,
) -> BTreeMap<usize, u16> {
    let mut numbers: BTreeMap<usize, u16> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (gateway, component) in ways.in_order(gates) {
        if let Some(number) = former.segment(gateway)
            && !numbers.contains_key(&component)
            && taken.insert(number)
        {
            numbers.insert(component, number);
        }
    }
    let free: Vec<u16> =
        (1..=u16::MAX).filter(|number| !taken.contains(number)).take(gates.len()).collect();
    let mut free = free.into_iter();
    for (_, component) in ways.in_order(gates) {
        if !numbers.contains_key(&component)
            && let Some(number) = free.next()
        {
            numbers.insert(component, number);
        }
    }
    numbers
}

/// All clusters but those of the largest part; of several such, of the one with the first cluster.
fn unreached(parts: BTreeSet<BTreeSet<&Name>>) -> Vec<Name> {
    let largest = parts.iter().rev().max_by_key(|part| part.len()).cloned().unwrap_or_default();
    let mut names: Vec<Name> =
        parts.into_iter().filter(|part| *part != largest).flatten().cloned().collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
