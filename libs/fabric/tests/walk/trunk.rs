//! Three clusters and the switches between them: what holds inside one must hold across them, also
//! while they go over from one plan to the next, and while some follow one plan and some another.

use std::collections::BTreeSet;

use l2sces_model::{Epoch, MacAddress};
use l2sces_openflow::{Action, GroupId, Instruction, Program};
use proptest::prelude::*;

use crate::{
    clusters::{
        ASIDE, NETWORKS, Plan, Programs, THROUGH_B, TOGETHER, TRUNK, access_port, joined, mac,
        programs, steps,
    },
    simulator::{Frame, Simulator},
};

/// What became of all frames that there can be of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Faults {
    /// Frames that circle, or come to somebody twice or to somebody else.
    wrong: usize,
    /// Frames that do not come to somebody.
    lost: usize,
}

fn faults(simulator: &Simulator, network: u32) -> Faults {
    let mut faults = Faults::default();
    for from in 1..=6 {
        let (switch, port) = access_port(from, network);
        for to in (1..=6).filter(|to| *to != from).map(Some).chain([None]) {
            let address = to.map_or(MacAddress::BROADCAST, mac);
            let walk = simulator.inject(switch, port, Frame::new(mac(from), address));
            let places = walk.places();
            let reached: BTreeSet<_> = places.iter().copied().collect();
            let others = (1..=6).filter(|other| *other != from && to.is_none_or(|to| to == *other));
            let wanted: BTreeSet<_> = others.map(|other| access_port(other, network)).collect();
            let is_marked = walk.deliveries.iter().any(|delivery| delivery.frame.mark != 0);
            // What is sent to one comes to others if it is flooded, for it is not known yet.
            let is_right = to.is_none() || reached.is_subset(&wanted);
            let is_once = reached.len() == places.len();
            faults.wrong += usize::from(walk.looped || is_marked || !is_right || !is_once);
            faults.lost += wanted.difference(&reached).count();
        }
    }
    faults
}

#[test]
fn frames_cross_clusters_once_and_stay_in_their_network() {
    for plans in steps(THROUGH_B, TOGETHER) {
        let programs = programs(plans);
        let simulator = joined(|switch| programs[&switch].clone());
        for network in NETWORKS {
            assert_eq!(faults(&simulator, network), Faults::default(), "epoch {}", plans.0.epoch);
        }
    }
}

/// The sum of what goes wrong in all mixtures of switches that have one program and switches that
/// have the other.
fn faults_between(one: &Programs, other: &Programs) -> Faults {
    let differing: Vec<_> = one.keys().filter(|switch| one[switch] != other[switch]).collect();
    let mut sum = Faults::default();
    for chosen in 0..1_u32 << differing.len() {
        let simulator = joined(|switch| {
            let bit = differing.iter().position(|differing| **differing == switch);
            let is_other = bit.is_some_and(|bit| chosen >> bit & 1 == 1);
            if is_other { other[&switch].clone() } else { one[&switch].clone() }
        });
        let Faults { wrong, lost } = faults(&simulator, 1);
        sum = Faults { wrong: sum.wrong + wrong, lost: sum.lost + lost };
    }
    sum
}

/// Whichever switches have followed a step, each frame comes to everyone, once.
#[test]
fn no_frame_is_lost_between_the_steps_from_one_plan_to_the_next() {
    for (from, to) in [(THROUGH_B, TOGETHER), (TOGETHER, ASIDE)] {
        for pair in steps(from, to).windows(2) {
            let (before, after) = (programs(pair[0]), programs(pair[1]));
            assert_eq!(faults_between(&before, &after), Faults::default(), "to {}", to.epoch);
        }
    }
}

#[test]
fn no_mixture_of_two_plans_loops_or_duplicates() {
    let (one, other) = (programs((THROUGH_B, None)), programs((TOGETHER, None)));
    let Faults { wrong, lost } = faults_between(&one, &other);
    assert_eq!(wrong, 0);
    assert!(lost > 0, "or there would be no need for steps");
}

/// Without the check of the epoch, which a gateway makes for the way that a frame has come by, the
/// same mixtures do.
#[test]
fn a_missing_reverse_path_check_is_found() {
    let same = Plan { epoch: THROUGH_B.epoch, ..TOGETHER };
    let (one, other) = (programs((THROUGH_B, None)), programs((same, None)));
    assert!(faults_between(&one, &other).wrong > 0);
}

/// Changes what tables do with frames that are to be flooded.
fn with_floods(mut programs: Programs, change: impl Fn(&mut Vec<Action>)) -> Programs {
    for program in programs.values_mut() {
        for (_, body) in program.flows.iter_mut().filter(|(key, _)| key.table == 30) {
            for instruction in &mut body.instructions {
                if let Instruction::ApplyActions(actions) = instruction {
                    change(actions);
                }
            }
        }
    }
    programs
}

/// The flood group of the other epoch of a step from epoch 1 to epoch 2.
fn other_group(group: GroupId) -> GroupId {
    GroupId(group.0 ^ 3 << 24)
}

/// A frame that is to get one epoch gets both.
#[test]
fn frames_that_set_out_by_two_plans_are_found() {
    let plans = steps(THROUGH_B, TOGETHER)[1];
    let planted = with_floods(programs(plans), |actions| {
        if let [Action::Group(group)] = actions[..] {
            actions.push(Action::Group(other_group(group)));
        }
    });
    let simulator = joined(|switch| planted[&switch].clone());
    assert!(faults(&simulator, 1).wrong > 0);
}

/// Frames that have crossed a trunk by one plan go on by the other.
#[test]
fn frames_that_change_their_epoch_on_the_way_are_found() {
    let [_, before, after, _] = steps(THROUGH_B, TOGETHER).map(programs);
    let planted = with_floods(before.clone(), |actions| {
        if let [Action::Group(group)] = &mut actions[..] {
            *group = other_group(*group);
        }
    });
    assert_eq!(faults_between(&before, &after).wrong, 0);
    assert!(faults_between(&planted, &after).wrong > 0);
}

/// What a switch may have in the middle of a step: some of what is new, or all that is new and some
/// of what is old.
fn halfway(before: &Program, after: &Program, mut coin: impl FnMut() -> bool) -> Program {
    let mut program = before.clone();
    let is_late = coin();
    for (key, body) in after.flows.iter().filter(|_| is_late || coin()) {
        program.flows.insert(key.clone(), body.clone());
    }
    for (id, body) in after.groups.iter().filter(|_| is_late || coin()) {
        program.groups.insert(*id, body.clone());
    }
    program.flows.retain(|key, _| !is_late || after.flows.contains_key(key) || coin());
    program.groups.retain(|id, _| !is_late || after.groups.contains_key(id) || coin());
    program
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever plans switches have been told of, and however far each has come with what it was
    /// told: nothing circles or comes twice.
    #[test]
    fn no_mixture_of_steps_loops_or_duplicates(
        at in proptest::collection::vec(0_usize..7, 12),
        coins in proptest::collection::vec(any::<bool>(), 997),
    ) {
        let all: Vec<_> =
            steps(THROUGH_B, TOGETHER).into_iter().chain(steps(TOGETHER, ASIDE)).collect();
        let all: Vec<_> = all.into_iter().map(programs).collect();
        let mut coins = coins.into_iter().cycle();
        let mixed: Programs = all[0].keys().zip(at).map(|(switch, step)| {
            let (before, after) = (&all[step][switch], &all[step + 1][switch]);
            (*switch, halfway(before, after, || coins.next().unwrap_or_default()))
        }).collect();
        let simulator = joined(|switch| mixed[&switch].clone());
        prop_assert_eq!(faults(&simulator, 1).wrong, 0);
    }
}

/// An address that is known to be elsewhere is not flooded, even where no trunk leads there.
#[test]
fn what_is_known_to_be_out_of_reach_is_dropped() {
    let programs = programs((Plan { epoch: 1, gates: &[] }, None));
    let simulator = joined(|switch| programs[&switch].clone());
    let (switch, port) = access_port(1, 1);
    let walk = |to| simulator.inject(switch, port, Frame::new(mac(1), to));
    assert_eq!(walk(mac(3)).places(), []);
    assert_eq!(walk(mac(2)).places(), [access_port(2, 1)]);
}

#[test]
fn a_mark_that_nobody_gave_out_opens_no_network() {
    let programs = programs((TOGETHER, None));
    let simulator = joined(|switch| programs[&switch].clone());
    let epoch = |epoch: u32| epoch << 25;
    for mark in [0, 1, 1 | epoch(1), 1 | epoch(3), 3 | epoch(2), 1 << 24, 3 | 1 << 24 | epoch(2)] {
        let frame = Frame { mark, ..Frame::new(mac(9), MacAddress::BROADCAST) };
        assert!(simulator.inject(2, TRUNK, frame).deliveries.is_empty(), "mark {mark:#x}");
    }
    let known = 1 | 1 << 24 | u32::from(Epoch::try_from(2).unwrap().get()) << 25;
    let frame = Frame { mark: known, ..Frame::new(mac(9), MacAddress::BROADCAST) };
    assert!(!simulator.inject(2, TRUNK, frame).deliveries.is_empty());
}
