//! BFD's verdict on a tunnel, as Open vSwitch reports it.

use std::time::Duration;

use l2sces_controller::{Event, LinkState};
use tokio::time::Instant;

use crate::{
    nodes::{make_underlay, node},
    support::{Controller, OpenVswitch, eventually, in_namespace, switch},
};

/// Milliseconds. BFD gives up after three times as long, which a process that has to wait for a
/// processor does not reach.
const INTERVAL: u64 = 800;

/// How soon a cut is noticed. Without BFD it takes 20 s.
const SOON: Duration = Duration::from_secs(15);

async fn states(controller: &Controller) -> Vec<LinkState> {
    let states = controller.engine.links().await;
    assert_eq!(states.len(), 2);
    states
}

async fn all_are(controller: &Controller, what: &str, is_so: impl Fn(&LinkState) -> bool) {
    eventually(&format!("all links are {what}"), || async {
        states(controller).await.iter().all(&is_so)
    })
    .await;
}

#[test]
fn a_cut_tunnel_is_noticed_soon_and_a_healed_one_too() {
    in_namespace(|| async {
        make_underlay();
        let mut controller = Controller::start().await;
        let (first, _) = node(&controller, 1, &[2], Some(INTERVAL)).await;
        controller.engine.put_switch(switch(1)).await;
        controller.put_slice(&[1, 2], &[(1, 2, 1)]).await;
        controller.engine.set_complete().await;
        controller.ready([1]).await;
        for state in states(&controller).await {
            assert!(!state.up && !state.message.contains("BFD"), "had no time yet: {state:?}");
        }

        let (second, _) = node(&controller, 2, &[1], Some(INTERVAL)).await;
        controller.engine.put_switch(switch(2)).await;
        controller.ready([2]).await;
        controller.links_up().await;
        // BFD begins slowly, with a second between its messages.
        let is_fast = |ovs: &OpenVswitch| {
            let status = ovs.appctl("bfd/show");
            let intervals = status.lines().filter(|line| line.contains("X Interval: Approx"));
            intervals.filter(|line| line.ends_with(&format!(" {INTERVAL}ms"))).count() == 2
        };
        eventually("BFD is as fast as it should be", || async {
            is_fast(&first) && is_fast(&second)
        })
        .await;
        all_are(&controller, "up", |state| state.up).await;

        for round in 0..2 {
            controller.forget_events();
            let start = Instant::now();
            first.inside("ip link set underlay down");
            let reason = controller
                .event(|event| match event {
                    Event::SliceState { ready: false, message, .. } => Some(message),
                    _ => None,
                })
                .await;
            let took = start.elapsed();
            controller.event(|event| (event == Event::LinksChanged).then_some(())).await;
            assert!(reason.contains("no BFD answer from the far end"), "{reason}");
            assert!(took < SOON, "round {round}: {took:?}");
            let is_cut = |state: &LinkState| !state.up && state.message.contains("BFD");
            all_are(&controller, "down", is_cut).await;

            first.inside("ip link set underlay up");
            controller.links_up().await;
            all_are(&controller, "up", |state| state.up).await;
        }
    });
}
