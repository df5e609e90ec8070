use std::collections::{BTreeMap, BTreeSet};

use l2sces_openflow::{Action, Bucket, Change, GroupId, Program};

/// The changes that turn what a switch has into what it should have, in an order that loses no
/// frame: groups and meters are there before the flows that use them, new flows before old ones go, and a
/// group or meter goes after the last flow that refers to it (a switch deletes such flows with
/// it). Nothing that is as it should be is touched.
///
/// Without `may_delete`, for a controller that does not know yet all that is wanted, only what is
/// missing is added: what is there is neither changed nor deleted.
pub fn difference(wanted: &Program, installed: &Program, may_delete: bool) -> Vec<Change> {
    let mut changes = groups_to_put(wanted, installed, may_delete);
    for (id, meter) in &wanted.meters {
        match installed.meters.get(id) {
            None => changes.push(Change::PutMeter(meter.clone())),
            Some(there) if may_delete && there != meter => {
                changes.push(Change::ModifyMeter(meter.clone()));
            }
            Some(_) => {}
        }
    }
    for (key, body) in &wanted.flows {
        let is_due = match installed.flows.get(key) {
            None => true,
            Some(there) => may_delete && there != body,
        };
        if is_due {
            changes.push(Change::AddFlow(body.with_key(key)));
        }
    }
    if may_delete {
        let surplus = installed.flows.keys().filter(|key| !wanted.flows.contains_key(key));
        changes.extend(surplus.cloned().map(Change::DeleteFlow));
        changes.extend(groups_to_delete(wanted, installed));
        let surplus = installed.meters.keys().filter(|id| !wanted.meters.contains_key(id));
        changes.extend(surplus.copied().map(Change::DeleteMeter));
    }
    changes
}

/// Additions and modifications of groups; a group comes after the groups that its buckets refer
/// to, for a switch refuses a reference to what it does not have.
fn groups_to_put(wanted: &Program, installed: &Program, may_modify: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    let ids: Vec<_> = wanted.groups.keys().copied().collect();
    for id in referred_first(wanted, &ids) {
        let Some(body) = wanted.groups.get(&id) else { continue };
        match installed.groups.get(&id) {
            None => changes.push(Change::PutGroup(body.with_id(id))),
            Some(there) if may_modify && there != body => {
                changes.push(Change::ModifyGroup(body.with_id(id)));
            }
            Some(_) => {}
        }
    }
    changes
}

/// Deletions of groups; a group goes before those that its buckets refer to.
fn groups_to_delete(wanted: &Program, installed: &Program) -> Vec<Change> {
    let surplus: Vec<_> =
        installed.groups.keys().filter(|id| !wanted.groups.contains_key(id)).copied().collect();
    referred_first(installed, &surplus).into_iter().rev().map(Change::DeleteGroup).collect()
}

/// The groups in an order in which each comes after those it refers to. Groups that refer to each
/// other in a circle, which no switch accepts, come in any order.
fn referred_first(program: &Program, ids: &[GroupId]) -> Vec<GroupId> {
    let mut waiting: BTreeMap<GroupId, Vec<GroupId>> = BTreeMap::new();
    for id in ids {
        let buckets = program.groups.get(id).map_or(&[][..], |group| &group.buckets);
        waiting.insert(*id, buckets.iter().flat_map(group_references).collect());
    }
    let mut ordered = Vec::with_capacity(ids.len());
    let mut seen = BTreeSet::new();
    for id in ids {
        // Depth first, without recursion: a chain may be as long as there are groups.
        let mut path = vec![(*id, 0)];
        while let Some((id, next)) = path.pop() {
            if next == 0 && !seen.insert(id) {
                continue;
            }
            let Some(references) = waiting.get(&id) else { continue };
            match references.get(next) {
                Some(reference) => path.extend([(id, next + 1), (*reference, 0)]),
                None => ordered.push(id),
            }
        }
    }
    ordered
}

/// The groups that a bucket refers to.
fn group_references(bucket: &Bucket) -> impl Iterator<Item = GroupId> {
    bucket.watch_group.into_iter().chain(bucket.actions.iter().filter_map(|action| match action {
        Action::Group(id) => Some(*id),
        _ => None,
    }))
}
