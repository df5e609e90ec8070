//! The difference, carried out by a model of a switch.

use std::collections::BTreeSet;

use l2sces_openflow::{
    Action, Bucket, Change, FlowBody, FlowKey, GroupBody, GroupId, GroupKind, Instruction, Match,
    Meter, MeterId, MeterLimit, Program,
};
use l2sces_southbound::difference;
use proptest::{collection::btree_map, collection::vec, prelude::*};

/// Carries out a change as a switch does, which refuses a group that is there and one that is not,
/// a reference to a group that is not there, and deletes the flows of a group with it.
fn carry_out(switch: &mut Program, change: &Change) {
    let exists = |switch: &Program, ids: BTreeSet<GroupId>| {
        ids.iter().all(|id| switch.groups.contains_key(id))
    };
    match change {
        Change::AddFlow(flow) => {
            assert!(exists(switch, flow_references(&flow.instructions)), "{change}");
            let meters = flow.instructions.iter().filter_map(|instruction| match instruction {
                Instruction::Meter(id) => Some(id),
                _ => None,
            });
            assert!(meters.clone().all(|id| switch.meters.contains_key(id)), "{change}");
            switch.put_flow(flow.clone());
        }
        Change::DeleteFlow(key) => assert!(switch.flows.remove(key).is_some(), "{change}"),
        Change::PutGroup(group) => {
            assert!(!switch.groups.contains_key(&group.id), "{change}");
            assert!(exists(switch, bucket_references(&group.buckets)), "{change}");
            switch.put_group(group.clone());
        }
        Change::ModifyGroup(group) => {
            assert!(switch.groups.contains_key(&group.id), "{change}");
            assert!(exists(switch, bucket_references(&group.buckets)), "{change}");
            switch.put_group(group.clone());
        }
        Change::DeleteGroup(id) => {
            assert!(switch.groups.remove(id).is_some(), "{change}");
            let users = |body: &FlowBody| flow_references(&body.instructions).contains(id);
            assert!(!switch.flows.values().any(users), "{change} takes flows with it");
            let users = |body: &GroupBody| bucket_references(&body.buckets).contains(id);
            assert!(!switch.groups.values().any(users), "{change} leaves a group without it");
        }
        Change::PutMeter(meter) => {
            assert!(!switch.meters.contains_key(&meter.id), "{change}");
            switch.put_meter(meter.clone());
        }
        Change::ModifyMeter(meter) => {
            assert!(switch.meters.contains_key(&meter.id), "{change}");
            switch.put_meter(meter.clone());
        }
        Change::DeleteMeter(id) => {
            assert!(switch.meters.remove(id).is_some(), "{change}");
            let users = |body: &FlowBody| body.instructions.contains(&Instruction::Meter(*id));
            assert!(!switch.flows.values().any(users), "{change} takes flows with it");
        }
    }
}

fn action_references(actions: &[Action]) -> impl Iterator<Item = GroupId> {
    actions.iter().filter_map(|action| match action {
        Action::Group(id) => Some(*id),
        _ => None,
    })
}

fn bucket_references(buckets: &[Bucket]) -> BTreeSet<GroupId> {
    buckets.iter().flat_map(|bucket| action_references(&bucket.actions)).collect()
}

fn flow_references(instructions: &[Instruction]) -> BTreeSet<GroupId> {
    let actions = instructions.iter().filter_map(|instruction| match instruction {
        Instruction::ApplyActions(actions) => Some(actions.as_slice()),
        _ => None,
    });
    actions.flat_map(action_references).collect()
}

/// A program in which all groups that are referred to are there, and none refers to itself: a
/// group refers only to those before it in a direction that differs from program to program.
fn program() -> impl Strategy<Value = Program> {
    let references = || vec(0_u32..8, 0..3);
    let flows = btree_map((0_u8..3, 0_u32..8), (0_u64..2, references()), 0..12);
    let groups = btree_map(0_u32..8, (0_u32..2, references()), 0..8);
    let meters = btree_map(0_u32..4, 0_u32..2, 0..4);
    (flows, groups, meters, any::<bool>()).prop_map(|(flows, groups, meters, upwards)| {
        let is_there = |id: &u32| groups.contains_key(id);
        let group = |id| Action::Group(GroupId(id));
        let mut program = Program::default();
        for ((table, port), (cookie, references)) in flows {
            let key = FlowKey { table, priority: 1, matching: Match::any().in_port(port) };
            let actions: Vec<_> = references.into_iter().filter(is_there).map(group).collect();
            let mut instructions = match actions.is_empty() {
                true => vec![],
                false => vec![Instruction::ApplyActions(actions)],
            };
            // Every other flow is metered, if there is its meter.
            if port % 2 == 0 && meters.contains_key(&(port / 2)) {
                instructions.insert(0, Instruction::Meter(MeterId(port / 2)));
            }
            program.flows.insert(key, FlowBody { cookie, idle_timeout: 0, instructions });
        }
        for (id, (output, references)) in &groups {
            let is_before = |other: &u32| if upwards { other > id } else { other < id };
            let references = references.iter().copied().filter(is_there).filter(is_before);
            let buckets = [Action::Output(*output)].into_iter().chain(references.map(group));
            let buckets = buckets.map(|action| Bucket::new(vec![action])).collect();
            program.groups.insert(GroupId(*id), GroupBody { kind: GroupKind::All, buckets });
        }
        for (id, rate) in meters {
            let limit = MeterLimit::Frames { rate, burst: 1 };
            program.put_meter(Meter { id: MeterId(id), limit });
        }
        program
    })
}

proptest! {
    #[test]
    fn a_switch_becomes_what_is_wanted_and_nothing_that_is_right_is_touched(
        wanted in program(),
        installed in program(),
    ) {
        let changes = difference(&wanted, &installed, true);
        let mut switch = installed.clone();
        let right: Vec<_> =
            wanted.flows.iter().filter(|(key, body)| installed.flows.get(key) == Some(body)).collect();
        for change in &changes {
            carry_out(&mut switch, change);
            for (key, body) in &right {
                prop_assert_eq!(switch.flows.get(key), Some(*body));
            }
            // What is there before and after is there all the time.
            for key in installed.flows.keys().filter(|key| wanted.flows.contains_key(key)) {
                prop_assert!(switch.flows.contains_key(key));
            }
            for id in installed.groups.keys().filter(|id| wanted.groups.contains_key(id)) {
                prop_assert!(switch.groups.contains_key(id));
            }
            for id in installed.meters.keys().filter(|id| wanted.meters.contains_key(id)) {
                prop_assert!(switch.meters.contains_key(id));
            }
        }
        prop_assert_eq!(&switch, &wanted);
        prop_assert_eq!(difference(&wanted, &switch, true), vec![]);
        let size = |it: &Program| it.flows.len() + it.groups.len() + it.meters.len();
        let most = size(&wanted) + size(&installed);
        prop_assert!(changes.len() <= most - 2 * right.len());
    }

    #[test]
    fn who_does_not_know_everything_only_adds(wanted in program(), installed in program()) {
        let mut switch = installed.clone();
        for change in difference(&wanted, &installed, false) {
            match change {
                Change::AddFlow(flow) => {
                    prop_assert!(!installed.flows.contains_key(&flow.key));
                    switch.put_flow(flow);
                }
                Change::PutGroup(group) => {
                    prop_assert!(!installed.groups.contains_key(&group.id));
                    switch.put_group(group);
                }
                Change::PutMeter(meter) => {
                    prop_assert!(!installed.meters.contains_key(&meter.id));
                    switch.put_meter(meter);
                }
                other => prop_assert!(false, "{other}"),
            }
        }
        let mut expected = wanted;
        expected.merge(installed);
        prop_assert_eq!(switch, expected);
    }
}
