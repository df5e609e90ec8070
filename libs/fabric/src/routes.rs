//! The ways through a slice, by datapath id, and how they change.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::DatapathId;
use l2sces_openflow::GroupId;

use crate::{
    graph::{Graph, Hop, Node, Ways},
    slice::HeldHops,
};

/// The part of one switch in the ways to another (or to itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    /// The destination's group.
    pub(crate) group: GroupId,
    /// The next switch and the port towards it, where there is a way.
    pub(crate) next: Option<(DatapathId, Option<u32>)>,
}

/// A known switch of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vertex {
    pub(crate) id: DatapathId,
    /// Leads to it, and names it in labels.
    pub(crate) group: GroupId,
}

/// The ways through a slice.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// The known switches, sorted.
    vertices: Vec<Vertex>,
    graph: Graph,
    /// By destination.
    ways: Vec<Ways>,
}

/// Which legs have changed: by destination and switch, what they were.
pub(crate) type Former = Vec<(DatapathId, DatapathId, Option<Leg>)>;

impl Routes {
    fn node(&self, id: DatapathId) -> Option<usize> {
        self.vertices.binary_search_by_key(&id, |vertex| vertex.id).ok()
    }

    /// The destinations that a switch has legs for; none if it is not known.
    pub(crate) fn destinations(&self, at: DatapathId) -> impl Iterator<Item = DatapathId> + '_ {
        let known = self.node(at).is_some();
        self.vertices.iter().filter(move |_| known).map(|vertex| vertex.id)
    }

    /// The part of switch `at` in the ways to a destination; none unless both are known.
    pub(crate) fn leg(&self, destination: DatapathId, at: DatapathId) -> Option<Leg> {
        let (to, from) = (self.node(destination)?, self.node(at)?);
        Some(self.leg_of(to, from))
    }

    fn leg_of(&self, to: usize, from: usize) -> Leg {
        let next = |hop: Hop| (self.vertices[hop.peer as usize].id, hop.port);
        Leg { group: self.vertices[to].group, next: self.ways[to].hop(from as Node).map(next) }
    }

    /// The group that leads to a switch.
    pub(crate) fn group(&self, destination: DatapathId) -> Option<GroupId> {
        self.node(destination).map(|node| self.vertices[node].group)
    }

    /// The switch that a group leads to.
    pub(crate) fn destination_of(&self, group: GroupId) -> Option<DatapathId> {
        self.vertices.iter().find(|vertex| vertex.group == group).map(|vertex| vertex.id)
    }

    /// What a switch has installed, for as long as it cannot be changed.
    pub(crate) fn hops_of(&self, at: DatapathId) -> HeldHops {
        let legs = self.destinations(at).filter_map(|to| Some((to, self.leg(to, at)?.next?)));
        legs.collect()
    }

    /// Takes over another graph. `graph` is of `vertices`, in their order. Returns the legs that
    /// have changed on switches that `notes` is true for.
    pub(crate) fn update(
        &mut self,
        vertices: Vec<Vertex>,
        graph: Graph,
        held: &BTreeMap<DatapathId, HeldHops>,
        notes: &dyn Fn(DatapathId) -> bool,
    ) -> Former {
        if vertices == self.vertices && graph.same_nodes(&self.graph) {
            let changed = graph.changed(&self.graph);
            self.graph = graph;
            return self.repair(&changed, held, notes);
        }
        let held = HeldNodes::new(&vertices, held);
        let ways = (0..vertices.len()).map(|to| Ways::to(to as Node, &graph, &held.towards(to)));
        let fresh = Self { ways: ways.collect(), graph, vertices };
        let before = std::mem::replace(self, fresh);
        self.differences(&before, notes)
    }

    /// Computes anew what a change of some switches' links, or of their being held, concerns.
    pub(crate) fn repair(
        &mut self,
        changed: &[Node],
        held: &BTreeMap<DatapathId, HeldHops>,
        notes: &dyn Fn(DatapathId) -> bool,
    ) -> Former {
        if changed.is_empty() {
            return Former::new();
        }
        let held = HeldNodes::new(&self.vertices, held);
        let mut former = Former::new();
        for to in 0..self.ways.len() {
            if self.ways[to].is_concerned(&self.graph, changed) {
                let before = self.ways[to].clone();
                self.ways[to].repair(&self.graph, &held.towards(to), changed);
                former.extend(self.turns(to, &before, notes));
            }
        }
        former
    }

    /// Computes the ways to some destinations anew, since what a switch is held to has changed.
    pub(crate) fn distrust(
        &mut self,
        destinations: impl Iterator<Item = DatapathId>,
        held: &BTreeMap<DatapathId, HeldHops>,
        notes: &dyn Fn(DatapathId) -> bool,
    ) -> Former {
        let held = HeldNodes::new(&self.vertices, held);
        let mut former = Former::new();
        for destination in destinations {
            let Some(to) = self.node(destination) else { continue };
            let fresh = Ways::to(to as Node, &self.graph, &held.towards(to));
            let before = std::mem::replace(&mut self.ways[to], fresh);
            former.extend(self.turns(to, &before, notes));
        }
        former
    }

    /// The legs of the ways to one destination that have changed.
    fn turns(&self, to: usize, before: &Ways, notes: &dyn Fn(DatapathId) -> bool) -> Former {
        let turns = (0..self.vertices.len()).filter_map(|from| {
            let then = before.hop(from as Node);
            let at = self.vertices[from].id;
            if then == self.ways[to].hop(from as Node) || !notes(at) {
                return None;
            }
            let next = then.map(|hop| (self.vertices[hop.peer as usize].id, hop.port));
            let leg = Leg { group: self.vertices[to].group, next };
            Some((self.vertices[to].id, at, Some(leg)))
        });
        turns.collect()
    }

    /// A switch can be changed again.
    pub(crate) fn release(
        &mut self,
        id: DatapathId,
        held: &BTreeMap<DatapathId, HeldHops>,
        notes: &dyn Fn(DatapathId) -> bool,
    ) -> Former {
        match self.node(id) {
            Some(node) => self.repair(&[node as Node], held, notes),
            None => Former::new(),
        }
    }

    fn differences(&self, before: &Self, notes: &dyn Fn(DatapathId) -> bool) -> Former {
        let ids: BTreeSet<_> =
            self.vertices.iter().chain(&before.vertices).map(|vertex| vertex.id).collect();
        let places: Vec<_> =
            ids.into_iter().map(|id| (id, self.node(id), before.node(id))).collect();
        let mut former = Former::new();
        for &(to, to_now, to_then) in &places {
            for &(from, from_now, from_then) in places.iter().filter(|place| notes(place.0)) {
                let now = to_now.zip(from_now).map(|(to, from)| self.leg_of(to, from));
                let then = to_then.zip(from_then).map(|(to, from)| before.leg_of(to, from));
                if now != then {
                    former.push((to, from, then));
                }
            }
        }
        former
    }
}

/// What switches are held to, by their numbers.
struct HeldNodes<'a> {
    vertices: &'a [Vertex],
    held: Vec<(Node, &'a HeldHops)>,
}

impl<'a> HeldNodes<'a> {
    fn new(vertices: &'a [Vertex], held: &'a BTreeMap<DatapathId, HeldHops>) -> Self {
        let node = |id| vertices.binary_search_by_key(&id, |vertex| vertex.id).ok();
        let held = held.iter().filter_map(|(id, hops)| Some((node(*id)? as Node, hops))).collect();
        Self { vertices, held }
    }

    /// For the ways to one destination: what a switch is held to.
    fn towards(&self, to: usize) -> impl Fn(Node) -> Option<Option<Hop>> + '_ {
        let destination = self.vertices[to].id;
        move |node| {
            let (_, hops) = self.held.iter().find(|(held, _)| *held == node)?;
            Some(hops.get(&destination).and_then(|(peer, port)| {
                let peer = self.vertices.binary_search_by_key(peer, |vertex| vertex.id).ok()?;
                Some(Hop { peer: peer as Node, port: *port })
            }))
        }
    }
}
