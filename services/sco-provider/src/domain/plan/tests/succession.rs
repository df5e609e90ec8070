use super::{
    super::{Plan, Stage, Succession},
    examples::{clusters, fresh, next, topology, ways},
};
use crate::domain::Topology;

fn mesh() -> Topology {
    topology("a1 a2 b1 c1", "a1-b1 a2-b1 a1-c1 a2-c1 b1-c1")
}

/// Three plans that differ, each for the failures of the one before.
fn plans() -> [Plan; 3] {
    let first = fresh(&mesh(), "", "ab").plan;
    let second = next(&mesh(), "a1", "ab", &first);
    let third = next(&mesh(), "a2", "ab", &second);
    [first, second, third]
}

/// The stage, and the epochs whose frames are taken, the current one first.
fn shown(plans: &Succession) -> (Stage, Vec<u8>) {
    let passages = plans.passages(&clusters("ab"));
    (plans.stage(), passages.iter().map(|passage| passage.epoch.get()).collect())
}

#[test]
fn frames_turn_from_one_plan_to_the_next_and_then_the_former_is_left() {
    let [first, second, _] = plans();
    let settled = Succession::from(first.clone());
    assert_eq!(shown(&settled), (Stage::Settled, vec![1]));
    let preparing = settled.followed_by(second.clone(), false);
    assert_eq!(shown(&preparing), (Stage::Preparing, vec![1, 2]));
    assert_eq!((preparing.current(), preparing.latest()), (&first, &second));
    let leaving = preparing.advanced();
    assert_eq!(shown(&leaving), (Stage::Leaving, vec![2, 1]));
    assert_eq!((leaving.current(), leaving.former()), (&second, Some(&first)));
    assert_eq!(leaving.advanced(), Succession::from(second));
}

#[test]
fn a_plan_that_failed_is_not_waited_for() {
    let [first, second, third] = plans();
    let leaving = Succession::from(first).followed_by(second, true);
    assert_eq!(shown(&leaving), (Stage::Leaving, vec![2, 1]));
    assert_eq!(shown(&leaving.followed_by(third, true)), (Stage::Leaving, vec![3, 2]));
}

#[test]
fn a_plan_that_no_frame_has_gone_by_is_dropped_for_the_next() {
    let [first, second, third] = plans();
    let preparing = Succession::from(first.clone()).followed_by(second, false);
    assert_eq!(shown(&preparing.clone().followed_by(third.clone(), false)).1, [1, 3]);
    let leaving = preparing.followed_by(third, true);
    assert_eq!((shown(&leaving), leaving.former()), ((Stage::Leaving, vec![3, 1]), Some(&first)));
}

#[test]
fn a_leaf_needs_no_stage_and_neither_does_the_first_plan() {
    let [first, second, _] = plans();
    let begun = Succession::default().followed_by(first, false);
    assert_eq!(shown(&begun), (Stage::Settled, vec![1]));
    let preparing = begun.followed_by(second.clone(), false);
    let larger = next(&mesh(), "a1", "abc", &second);
    assert_eq!(larger.epoch(), second.epoch());
    let preparing = preparing.followed_by(larger.clone(), false);
    assert_eq!((shown(&preparing), preparing.latest()), ((Stage::Preparing, vec![1, 2]), &larger));
}

#[test]
fn a_plan_is_torn_when_clusters_lose_each_other_that_it_has_joined() {
    let [first, ..] = plans();
    let is_torn = |failed, members| first.is_torn(&ways(&mesh(), failed), &clusters(members));
    assert!(!is_torn("", "ab"));
    assert!(!is_torn("a2", "ab") && !is_torn("a1-c1 a2-b1", "ab"));
    assert!(is_torn("a1", "ab") && is_torn("b1", "ab"));
    // The gates still reach each other by c1.
    assert!(!is_torn("a1-b1", "ab"));
    assert!(is_torn("a1-b1 a1-c1", "ab"));
    assert!(!is_torn("c1", "abc"), "it has never joined c");
}
