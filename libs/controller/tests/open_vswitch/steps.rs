//! Steps go to the switches one after the other.

use std::time::Duration;

use l2sces_openflow::Message;
use tokio::time::Instant;

use crate::{
    relay::{Relay, Seen},
    support::{Controller, OpenVswitch, eventually, in_namespace, slice, switch},
};

const SWITCHES: [u64; 4] = [1, 2, 3, 4];

/// How long the engine waits for a switch that answers nothing: long beside what all else takes.
const FORBEARANCE: Duration = Duration::from_secs(10);

/// How long a new engine waits for switches that connect to it: they come sooner.
const GATHERING: Duration = Duration::from_secs(20);

/// A ring of four switches. The ways to switch 4 lead over switch 1, or, if the link between them
/// is dear, the other way round: then 3, 2 and 1 turn, in this order.
fn ring(cost: u32) -> [(u64, u64, u32); 4] {
    [(1, 2, 1), (2, 3, 1), (3, 4, 10), (4, 1, cost)]
}

/// Four bridges in a ring, with a network on all, ready.
async fn start() -> (OpenVswitch, Controller, Vec<Relay>) {
    let ovs = OpenVswitch::start().await;
    let mut controller = Controller::with(|config| config.patience = FORBEARANCE).await;
    let mut relays = Vec::new();
    for number in SWITCHES {
        let bridge = format!("br{number}");
        relays.push(controller.relay(&ovs, &bridge));
        ovs.add_bridge(&bridge, number).await;
        ovs.add_port(&bridge, &format!("pod5-{number}"));
        controller.engine.put_switch(switch(number)).await;
    }
    for (a, b, _) in ring(1) {
        ovs.join(a, b);
    }
    controller.put_slice(&SWITCHES, &ring(1)).await;
    controller.put_network(5, &SWITCHES).await;
    controller.engine.set_complete().await;
    controller.links_up().await;
    (ovs, controller, relays)
}

/// A new controller for bridges that have their programs.
async fn take_over(ovs: &OpenVswitch, cost: u32) -> (Controller, Vec<Relay>) {
    let controller = Controller::with(|config| {
        config.patience = FORBEARANCE;
        config.gathering = GATHERING;
    })
    .await;
    let bridges = SWITCHES.iter().map(|number| format!("br{number}"));
    let relays = bridges.map(|bridge| controller.relay(ovs, &bridge)).collect();
    for number in SWITCHES {
        controller.engine.put_switch(switch(number)).await;
    }
    controller.put_slice(&SWITCHES, &ring(cost)).await;
    controller.put_network(5, &SWITCHES).await;
    controller.engine.set_complete().await;
    (controller, relays)
}

/// Where in the log the switches turn.
fn turns(seen: &[Seen]) -> Vec<(usize, u64)> {
    let turns = seen.iter().enumerate().filter(|(_, seen)| seen.is_turn());
    turns.map(|(at, seen)| (at, seen.bridge["br".len()..].parse().unwrap())).collect()
}

/// Whether a switch has confirmed something between two places in the log.
fn confirms_between(seen: &[Seen], number: u64, from: usize, to: usize) -> bool {
    seen[from..to]
        .iter()
        .any(|it| it.bridge == format!("br{number}") && it.message == Message::BarrierReply)
}

#[test]
fn a_switch_turns_only_when_the_next_one_on_its_way_has_confirmed_that_it_has() {
    in_namespace(|| async {
        let (_ovs, controller, _relays) = start().await;
        for (cost, order) in [(100, [3, 2, 1]), (1, [1, 2, 3])] {
            controller.seen();
            controller.put_slice(&SWITCHES, &ring(cost)).await;
            assert_turned_in(order, &controller.seen());
        }
    });
}

/// Each switch turns when the one before has confirmed that it has.
fn assert_turned_in(order: [u64; 3], seen: &[Seen]) {
    let turns = turns(seen);
    // Where each turns first, and what is between.
    let first = |number| turns.iter().find(|(_, it)| *it == number).unwrap().0;
    let last = |number| turns.iter().rfind(|(_, it)| *it == number).unwrap().0;
    for pair in order.windows(2) {
        let (before, after) = (last(pair[0]), last(pair[1]));
        assert!(before < after, "{pair:?} in {turns:?}");
        assert!(confirms_between(seen, pair[0], before, after), "{pair:?}: {seen:#?}");
    }
    assert!(order.into_iter().all(|number| first(number) <= last(number)));
}

/// A controller that was away while costs changed lets the switches turn in the same order.
#[test]
fn a_restarted_controller_turns_switches_in_order() {
    in_namespace(|| async {
        let (ovs, mut controller, mut relays) = start().await;
        for (cost, order) in [(100, [3, 2, 1]), (1, [1, 2, 3])] {
            drop((controller, relays));
            (controller, relays) = take_over(&ovs, cost).await;
            eventually("the ways are turned", || async {
                let log = controller.log.lock().unwrap();
                order.iter().all(|number| turns(&log).iter().any(|it| it.1 == *number))
            })
            .await;
            assert_turned_in(order, &controller.seen());
        }
    });
}

#[test]
fn a_switch_that_hangs_holds_up_the_others_once_and_not_for_long() {
    in_namespace(|| async {
        let (_ovs, controller, relays) = start().await;
        let engine = controller.engine.clone();
        let put = |cost| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.put_slice(slice(&SWITCHES, &ring(cost))).await })
        };
        // Of switch 2, in the middle of both ways, nothing is heard.
        relays[1].hold_barriers(true);
        controller.seen();
        let has_turned = |number: u64, seen: &[Seen]| turns(seen).iter().any(|it| it.1 == number);
        let log = controller.log.clone();
        let start = Instant::now();
        let first = put(100);
        eventually("switch 1 turns", || async { has_turned(1, &log.lock().unwrap()) }).await;
        let waited = start.elapsed();
        assert!(waited >= FORBEARANCE, "{waited:?}: it waits for a while");
        assert!(waited < 2 * FORBEARANCE, "{waited:?}: once");

        // From then on nobody waits for it, and what does not concern it is done at once.
        eventually("the rest is out", || async {
            log.lock().unwrap().last().is_some_and(|it| it.message == Message::BarrierReply)
        })
        .await;
        controller.seen();
        let start = Instant::now();
        let second = put(1);
        eventually("switch 3 turns", || async { has_turned(3, &log.lock().unwrap()) }).await;
        let waited = start.elapsed();
        assert!(waited < FORBEARANCE, "{waited:?}: it does not wait again");
        assert!(!first.is_finished(), "what concerns it is not confirmed");

        // It comes back when its connection is broken, and is brought up to date.
        relays[1].hold_barriers(false);
        relays[1].cut();
        first.await.unwrap();
        second.await.unwrap();
        let mut controller = controller;
        controller.ready([2]).await;
        let start = Instant::now();
        controller.put_slice(&SWITCHES, &ring(100)).await;
        assert!(start.elapsed() < FORBEARANCE, "all are there again");
        assert_eq!(controller.engine.links().await.len(), 8);
    });
}
