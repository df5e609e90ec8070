//! Three clusters and the switches between them: what holds inside one must hold across them, also
//! while some follow one plan and some another.

use std::collections::BTreeSet;

use l2sces_model::{Epoch, MacAddress};

use crate::{
    clusters::{
        EDGE, NETWORKS, Plan, THROUGH_B, TOGETHER, TRUNK, access_port, joined, mac, programs,
    },
    simulator::Frame,
};

#[test]
fn frames_cross_clusters_once_and_stay_in_their_network() {
    for plan in [THROUGH_B, TOGETHER] {
        let programs = programs(&plan);
        let simulator = joined(|switch| programs[&switch].clone());
        for (network, from) in NETWORKS.into_iter().flat_map(|n| (1..=6).map(move |s| (n, s))) {
            let (switch, port) = access_port(from, network);
            for to in (1..=6).filter(|to| *to != from).map(Some).chain([None]) {
                let address = to.map_or(MacAddress::BROADCAST, mac);
                let walk = simulator.inject(switch, port, Frame::new(mac(from), address));
                let others =
                    (1..=6).filter(|other| *other != from && to.is_none_or(|to| to == *other));
                let wanted: Vec<_> = others.map(|other| access_port(other, network)).collect();
                assert_eq!(walk.places(), wanted, "epoch {}, {from} to {to:?}", plan.epoch);
                assert!(walk.deliveries.iter().all(|delivery| delivery.frame.mark == 0));
                assert!(!walk.looped);
            }
        }
    }
}

/// How many frames loop or arrive twice when any switches follow one plan and the others another.
fn faults_between(one: &Plan, other: &Plan) -> usize {
    let (one, other) = (programs(one), programs(other));
    let mut faults = 0;
    for chosen in 0..1_u32 << 12 {
        let simulator = joined(|switch| {
            let bit = if switch > EDGE { switch - EDGE + 5 } else { switch - 1 };
            if chosen >> bit & 1 == 1 { one[&switch].clone() } else { other[&switch].clone() }
        });
        for from in 1..=6 {
            let (switch, port) = access_port(from, 1);
            for to in (1..=6).filter(|to| *to != from).map(mac).chain([MacAddress::BROADCAST]) {
                let walk = simulator.inject(switch, port, Frame::new(mac(from), to));
                let places = walk.places();
                let unique: BTreeSet<_> = places.iter().collect();
                faults += usize::from(walk.looped || unique.len() != places.len());
            }
        }
    }
    faults
}

#[test]
fn no_mixture_of_two_plans_loops_or_duplicates() {
    assert_eq!(faults_between(&THROUGH_B, &TOGETHER), 0);
}

/// Without the check of the epoch, which a gateway makes for the way that a frame has come by, the
/// same mixtures do.
#[test]
fn a_missing_reverse_path_check_is_found() {
    assert!(faults_between(&THROUGH_B, &Plan { epoch: THROUGH_B.epoch, ..TOGETHER }) > 0);
}

/// An address that is known to be elsewhere is not flooded, even where no trunk leads there.
#[test]
fn what_is_known_to_be_out_of_reach_is_dropped() {
    let programs = programs(&Plan { epoch: 1, gates: &[] });
    let simulator = joined(|switch| programs[&switch].clone());
    let (switch, port) = access_port(1, 1);
    let walk = |to| simulator.inject(switch, port, Frame::new(mac(1), to));
    assert_eq!(walk(mac(3)).places(), []);
    assert_eq!(walk(mac(2)).places(), [access_port(2, 1)]);
}

#[test]
fn a_mark_that_nobody_gave_out_opens_no_network() {
    let programs = programs(&TOGETHER);
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
