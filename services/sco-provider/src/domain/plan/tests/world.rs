//! A slice whose parts fail, and what can be said of its plans without asking the planner.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{Plan, Planned, Ways, plan};
use crate::domain::{GatewayKey, GatewayLink, Topology};
use l2sces_model::Name;

/// Random numbers that are the same for a seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        // xorshift64* (Vigna, 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    pub(super) fn pick<'all, T>(&mut self, all: &'all [T]) -> Option<&'all T> {
        if all.is_empty() { None } else { Some(&all[self.roll(all.len())]) }
    }
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) clusters: Vec<Name>,
    pub(super) topology: Topology,
    pub(super) members: BTreeSet<Name>,
    pub(super) failed_gateways: BTreeSet<GatewayKey>,
    pub(super) failed_links: BTreeSet<(GatewayKey, GatewayKey)>,
}

impl World {
    /// Up to 7 clusters with up to 3 gateways each, some of which are linked.
    pub(super) fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let clusters: Vec<Name> = ["a", "b", "c", "d", "e", "f", "g"][..2 + dice.roll(6)]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let mut gateways = Vec::new();
        for cluster in &clusters {
            for node in 0..dice.roll(4).max(dice.roll(3)) {
                let node = format!("n{node}").parse().unwrap();
                gateways.insert(
                    dice.roll(gateways.len() + 1),
                    GatewayKey { cluster: cluster.clone(), node },
                );
            }
        }
        let mut world = Self {
            members: clusters.iter().filter(|_| dice.roll(4) > 0).cloned().collect(),
            clusters,
            topology: Topology { gateways, links: Vec::new() },
            failed_gateways: BTreeSet::new(),
            failed_links: BTreeSet::new(),
        };
        let sparse = 1 + dice.roll(4);
        world.topology.links =
            world.pairs().into_iter().filter(|_| dice.roll(sparse) == 0).collect();
        for link in &mut world.topology.links {
            link.cost = 1 + dice.roll(4) as u32;
        }
        world
    }

    /// Every link that there could be.
    fn pairs(&self) -> Vec<GatewayLink> {
        let all = &self.topology.gateways;
        let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (a, b)));
        pairs
            .filter(|(a, b)| a.cluster < b.cluster)
            .map(|(a, b)| GatewayLink { a: a.clone(), b: b.clone(), cost: 1 })
            .collect()
    }

    /// Something fails, heals, or is wanted otherwise. Returns whether the slice has changed.
    pub(super) fn happen(&mut self, dice: &mut Dice) -> bool {
        match dice.roll(12) {
            0..4 => {
                let ends =
                    dice.pick(&self.topology.links).map(|link| (link.a.clone(), link.b.clone()));
                toggle(&mut self.failed_links, ends);
            }
            4..7 => toggle(&mut self.failed_gateways, dice.pick(&self.topology.gateways).cloned()),
            7..10 => toggle(&mut self.members, dice.pick(&self.clusters).cloned()),
            10 => {
                // All at once, as when the controller itself was cut off.
                self.failed_links.clear();
                self.failed_gateways.clear();
            }
            _ => {
                let Some(pair) = dice.pick(&self.pairs()).cloned() else { return false };
                let links = &mut self.topology.links;
                let former = links.len();
                links.retain(|link| (&link.a, &link.b) != (&pair.a, &pair.b));
                if links.len() == former {
                    links.push(pair);
                }
                return true;
            }
        }
        false
    }

    pub(super) fn members(&self) -> Vec<Name> {
        self.members.iter().cloned().collect()
    }

    pub(super) fn ways(&self) -> Ways {
        Ways::new(
            &self.topology,
            |gateway| !self.failed_gateways.contains(gateway),
            |a, b| !self.failed_links.contains(&(a.clone(), b.clone())),
        )
    }

    pub(super) fn plan(&self, former: &Plan, is_afresh: bool) -> Planned {
        plan(&self.ways(), &self.members(), former, is_afresh)
    }

    /// Which members reach each other by gates, if only the links that work carry frames; by all
    /// gateways if there is no plan.
    pub(super) fn parts(&self, plan: Option<&Plan>) -> BTreeSet<BTreeSet<Name>> {
        let works = |gateway: &&GatewayKey| !self.failed_gateways.contains(*gateway);
        let neighbours = |gateway: &GatewayKey| -> Vec<&GatewayKey> {
            let links = self.topology.links.iter();
            let live =
                links.filter(|link| !self.failed_links.contains(&(link.a.clone(), link.b.clone())));
            live.filter_map(|link| match gateway {
                end if *end == link.a => Some(&link.b),
                end if *end == link.b => Some(&link.a),
                _ => None,
            })
            .filter(works)
            .collect()
        };
        let reached_from = |gateway: &GatewayKey| {
            let mut reached = BTreeSet::from([gateway.clone()]);
            let mut next = vec![gateway.clone()];
            while let Some(gateway) = next.pop() {
                next.extend(
                    neighbours(&gateway)
                        .into_iter()
                        .filter(|peer| reached.insert((*peer).clone()))
                        .cloned(),
                );
            }
            reached
        };
        let is_gate =
            |gateway: &GatewayKey| plan.is_none_or(|plan| plan.segment(gateway).is_some());
        let same_segment = |one: &GatewayKey, other: &GatewayKey| {
            plan.is_none_or(|plan| plan.segment(one) == plan.segment(other))
        };
        let gates: Vec<_> = self
            .topology
            .gateways
            .iter()
            .filter(works)
            .filter(|gateway| is_gate(gateway))
            .collect();
        let mut parts: BTreeMap<Name, BTreeSet<Name>> = self
            .clusters
            .iter()
            .map(|name| (name.clone(), BTreeSet::from([name.clone()])))
            .collect();
        for one in &gates {
            let reached = reached_from(one);
            for other in
                gates.iter().filter(|other| same_segment(one, other) && reached.contains(**other))
            {
                let merged: BTreeSet<Name> =
                    parts[&one.cluster].union(&parts[&other.cluster]).cloned().collect();
                for cluster in &merged {
                    parts.insert(cluster.clone(), merged.clone());
                }
            }
        }
        let members = |part: BTreeSet<Name>| part.intersection(&self.members).cloned().collect();
        parts.into_values().map(members).filter(|part: &BTreeSet<Name>| !part.is_empty()).collect()
    }

    /// The same, if everything worked that the plan counts on.
    pub(super) fn nominal_parts(
        &self,
        gates: &BTreeMap<GatewayKey, u16>,
    ) -> BTreeSet<BTreeSet<Name>> {
        let mut parts: BTreeMap<Name, BTreeSet<Name>> = self
            .clusters
            .iter()
            .map(|name| (name.clone(), BTreeSet::from([name.clone()])))
            .collect();
        for (one, segment) in gates {
            for (other, _) in gates.iter().filter(|(_, number)| *number == segment) {
                let merged: BTreeSet<Name> =
                    parts[&one.cluster].union(&parts[&other.cluster]).cloned().collect();
                for cluster in &merged {
                    parts.insert(cluster.clone(), merged.clone());
                }
            }
        }
        let members = |part: BTreeSet<Name>| part.intersection(&self.members).cloned().collect();
        parts.into_values().map(members).filter(|part: &BTreeSet<Name>| !part.is_empty()).collect()
    }
}

fn toggle<T: Ord>(all: &mut BTreeSet<T>, one: Option<T>) {
    if let Some(one) = one
        && !all.remove(&one)
    {
        all.insert(one);
    }
}

pub(super) fn gates(plan: &Plan) -> BTreeMap<GatewayKey, u16> {
    plan.gateways().filter_map(|(gateway, segment, _)| Some((gateway.clone(), segment?))).collect()
}

/// What a world goes through, and the plan after each event.
pub(super) fn history(seed: u64, events: usize) -> (World, Vec<Plan>) {
    let mut world = World::random(seed);
    let mut dice = Dice::new(seed.rotate_left(32));
    let mut plans = vec![world.plan(&Plan::default(), true).plan];
    for _ in 0..events {
        let is_afresh = world.happen(&mut dice);
        let plan = world.plan(plans.last().unwrap(), is_afresh).plan;
        plans.push(plan);
    }
    (world, plans)
}

pub(super) fn seeds() -> impl Strategy<Value = u64> {
    any::<u64>()
}
