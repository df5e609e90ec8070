//! What a recompilation changes, in an order that neither loops nor loses a frame.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::{DatapathId, Name, Vni};
use l2sces_openflow::{Action, GroupBody, GroupId, Program};

use crate::{
    Fabric,
    network::Network,
    parts::{Pending, compile_leg},
    routes::Leg,
};

/// What a change can concern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// What a switch has whatever its networks.
    Switch(DatapathId),
    /// The ways through a slice.
    Slice(Name),
    /// A network.
    Network(Vni),
}

/// What one call of [`Fabric::recompile`] changed.
#[derive(Debug, Default)]
pub struct Revision {
    /// What changes, in steps: a step must not begin before every connected switch that the one
    /// before concerns has confirmed it. For each switch with changes: the changed part of its
    /// program, before and after.
    pub steps: Vec<Step>,
    /// What may have changed.
    pub subjects: BTreeSet<Subject>,
}

/// For each switch with changes: the changed part of its program, before and after.
pub type Step = BTreeMap<DatapathId, (Program, Program)>;

/// How a switch's first hop to a destination changes.
struct Turn {
    before: Leg,
    after: Leg,
}

impl Fabric {
    /// Whether nothing that switches have can have changed since the last compilation.
    pub fn is_compiled(&self) -> bool {
        let Pending { parts, last: _, legs, subjects: _, undone } = &self.pending;
        parts.is_empty() && legs.is_empty() && undone.is_empty()
    }

    /// Compiles what has changed since the last call. Changes of switches that are not connected
    /// are left out.
    ///
    /// New flows come first, in one step. Then the ways to each destination turn from the old to
    /// the new, from the destination outwards: a switch turns only after the next switch on its new
    /// way has. A frame at a switch that has turned meets only such switches, all the way; before
    /// that it follows the old way: so it never comes by a switch twice in the same state, and none
    /// loops. What is not needed any more goes last. An address that was unknown, and flooded, is
    /// known where it is before it is elsewhere, so that none of its frames is sent to a switch that
    /// does not know it yet.
    pub fn recompile(&mut self) -> Revision {
        let Pending { parts, last, legs, subjects, undone } = std::mem::take(&mut self.pending);
        let (mut whole, mut ending) = (Step::new(), Step::new());
        for (at, before, after) in undone {
            merge(&mut whole, at, before, after);
        }
        for (part, before) in parts {
            let after = self.compile_part(&part);
            let step = if last.contains(&part) { &mut ending } else { &mut whole };
            merge(step, part.switch(), before, after);
        }
        let mut turns: BTreeMap<(Name, DatapathId), BTreeMap<DatapathId, Turn>> = BTreeMap::new();
        for ((slice, destination, at), before) in legs {
            let routes = self.slices.get(&slice).map(|slice| &slice.routes);
            let after = routes.and_then(|routes| routes.leg(destination, at));
            match (before, after) {
                (Some(before), Some(after))
                    if before.group == after.group && before.next != after.next =>
                {
                    let way = turns.entry((slice, destination)).or_default();
                    way.insert(at, Turn { before, after });
                }
                (before, after) => {
                    let here = destination == at;
                    merge(&mut whole, at, compile_leg(here, before), compile_leg(here, after));
                }
            }
        }
        for subject in &subjects {
            if let Subject::Network(vni) = subject
                && self.networks.get(vni).is_some_and(Network::is_empty)
            {
                self.networks.remove(vni);
            }
        }
        let next = |slice: &Name, destination, at| {
            Some(self.slices.get(slice)?.routes.leg(destination, at)?.next?.0)
        };
        let mut steps = order(whole, &turns, next);
        steps.extend(Some(ending).filter(|step| !step.is_empty()));
        Revision { steps, subjects }
    }
}

impl Fabric {
    /// Takes back steps that were not handed out, since a switch that they count on is gone: the
    /// next revision puts their turns into another order, and has what else they were to do.
    pub fn take_back(
        &mut self,
        steps: impl IntoIterator<Item = Step>,
        subjects: impl IntoIterator<Item = Subject>,
    ) {
        self.pending.subjects.extend(subjects);
        for (at, (mut before, mut after)) in steps.into_iter().flatten() {
            let turned = after.groups.keys().filter(|id| before.groups.contains_key(id));
            for id in turned.copied().collect::<Vec<_>>() {
                let Some(way) = self.way_with(id, at) else { continue };
                after.groups.remove(&id);
                let Some(body) = before.groups.remove(&id) else { continue };
                self.note_former_leg(way, id, &body);
            }
            self.pending.undone.push((at, before, after));
        }
    }

    /// What a switch that has been read should have now: all that is wanted, but for ways that it
    /// would turn. They turn with the next revision, together with those of other switches and in
    /// their order: each switch by itself could make a loop with those that follow other ways yet.
    pub fn adopt(&mut self, at: DatapathId, installed: &Program) -> Program {
        let mut now = self.program(at);
        for (id, body) in &mut now.groups {
            let Some(there) = installed.groups.get(id) else { continue };
            if output(there) != output(body)
                && let Some(way) = self.way_with(*id, at)
            {
                self.note_former_leg(way, *id, there);
                there.clone_into(body);
            }
        }
        now
    }

    /// Notes where a destination group led. Which switch the port leads to is not asked for of what
    /// was.
    fn note_former_leg(
        &mut self,
        way: (Name, DatapathId, DatapathId),
        group: GroupId,
        body: &GroupBody,
    ) {
        let next = output(body).map(|port| (way.2, Some(port)));
        self.pending.subjects.insert(Subject::Slice(way.0.clone()));
        self.pending.legs.entry(way).or_insert(Some(Leg { group, next }));
    }

    /// The slice and destination that a switch has a group for.
    fn way_with(&self, group: GroupId, at: DatapathId) -> Option<(Name, DatapathId, DatapathId)> {
        let mut slices = self.slices.iter().filter(|(_, slice)| slice.members.contains(&at));
        slices
            .find_map(|(name, slice)| Some((name.clone(), slice.routes.destination_of(group)?, at)))
    }
}

/// The port that a destination group leads to.
fn output(group: &GroupBody) -> Option<u32> {
    group.buckets.iter().flat_map(|bucket| &bucket.actions).find_map(|action| match action {
        Action::Output(port) => Some(*port),
        _ => None,
    })
}

/// Adds one part's change to a switch's, if it is one.
fn merge(step: &mut Step, at: DatapathId, before: Program, after: Program) {
    if before != after {
        let (whole_before, whole_after) = step.entry(at).or_default();
        // An earlier change of the same that was not made ends here.
        whole_after.flows.retain(|key, _| !before.flows.contains_key(key));
        whole_after.groups.retain(|id, _| !before.groups.contains_key(id));
        whole_after.meters.retain(|id, _| !before.meters.contains_key(id));
        whole_before.merge(before);
        whole_after.merge(after);
    }
}

/// Puts turns between what is added and what is deleted.
///
/// `next` tells the next switch on the new way through a slice to a destination.
fn order(
    whole: Step,
    turns: &BTreeMap<(Name, DatapathId), BTreeMap<DatapathId, Turn>>,
    next: impl Fn(&Name, DatapathId, DatapathId) -> Option<DatapathId>,
) -> Vec<Step> {
    let mut fenced: Vec<Step> = Vec::new();
    // Whoever has no way any more goes on with the old one until nobody else counts on that.
    let mut lost = Step::new();
    for ((slice, destination), way) in turns {
        let ranks = ranks(way, |at| next(slice, *destination, at));
        for (at, turn) in way {
            let (before, after) =
                (compile_leg(false, Some(turn.before)), compile_leg(false, Some(turn.after)));
            if turn.after.next.is_none() {
                merge(&mut lost, *at, before, after);
                continue;
            }
            let rank = ranks.get(at).copied().unwrap_or_default();
            if fenced.len() <= rank {
                fenced.resize_with(rank + 1, Step::new);
            }
            merge(&mut fenced[rank], *at, before, after);
        }
    }
    fenced.push(lost);
    if fenced.iter().all(Step::is_empty) {
        return [whole].into_iter().filter(|step| !step.is_empty()).collect();
    }
    let mut additions = Step::new();
    let mut deletions = Step::new();
    for (at, (before, after)) in whole {
        let mut between = before.clone();
        between.merge(after.clone());
        merge(&mut additions, at, before, between.clone());
        merge(&mut deletions, at, between, after);
    }
    [additions].into_iter().chain(fenced).chain([deletions]).filter(|it| !it.is_empty()).collect()
}

/// How many steps each switch must wait: until the switches that its new way leads through have
/// turned. If no switch had a way before, there is no old way that could meet a new one, and all
/// turn at once.
fn ranks(
    way: &BTreeMap<DatapathId, Turn>,
    next: impl Fn(DatapathId) -> Option<DatapathId>,
) -> BTreeMap<DatapathId, usize> {
    // By switch, turning or not: after how many steps its way is new from end to end.
    let mut settled: BTreeMap<DatapathId, usize> = BTreeMap::new();
    let mut ranks = BTreeMap::new();
    if way.values().all(|turn| turn.before.next.is_none()) {
        return ranks;
    }
    for at in way.keys() {
        let mut path = Vec::new();
        let mut here = Some(*at);
        let mut steps = 0;
        while let Some(switch) = here {
            if let Some(known) = settled.get(&switch) {
                steps = *known;
                break;
            }
            path.push(switch);
            here = next(switch);
        }
        for switch in path.into_iter().rev() {
            if way.contains_key(&switch) {
                ranks.insert(switch, steps);
                steps += 1;
            }
            settled.insert(switch, steps);
        }
    }
    ranks
}
