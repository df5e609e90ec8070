//! What a switch has is read, and only what differs is changed.

use l2sces_controller::{Event, NetworkSpec};
use l2sces_openflow::{FlowMod, FlowModCommand, Message, Program, TunnelOption};
use l2sces_southbound::difference;

use crate::{
    relay::{Relay, Seen},
    support::{Controller, OpenVswitch, eventually, in_namespace, port, switch, vni},
};

const LINKS: [(u64, u64, u32); 1] = [(1, 2, 1)];

/// Two joined bridges with places for the networks 5 to 7, and their relays.
async fn bridges(controller: &Controller) -> (OpenVswitch, Vec<Relay>) {
    let ovs = OpenVswitch::start().await;
    let mut relays = Vec::new();
    for number in [1, 2] {
        let bridge = format!("br{number}");
        relays.push(controller.relay(&ovs, &bridge));
        ovs.add_bridge(&bridge, number).await;
        (5..=7).for_each(|vni| ovs.add_port(&bridge, &format!("pod{vni}-{number}")));
    }
    ovs.join(1, 2);
    (ovs, relays)
}

/// Tells an engine everything that is wanted: a slice of two switches, with networks.
async fn put(controller: &mut Controller, networks: &[(u32, &[u64])]) {
    for number in [1, 2] {
        controller.engine.put_switch(switch(number)).await;
    }
    controller.put_slice(&[1, 2], &LINKS).await;
    for (vni, switches) in networks {
        controller.put_network(*vni, switches).await;
    }
    controller.engine.set_complete().await;
    controller.ready([1, 2]).await;
    controller.links_up().await;
}

fn changes(seen: &[Seen], bridge: &str) -> Vec<Message> {
    let changes = seen.iter().filter(|it| it.is_change() && it.bridge == bridge);
    changes.map(|seen| seen.message.clone()).collect()
}

fn readings(seen: &[Seen], bridge: &str) -> usize {
    seen.iter().filter(|it| it.is_reading() && it.bridge == bridge).count()
}

#[test]
fn the_tunnel_option_is_mapped_before_anything_is_read_or_written() {
    in_namespace(|| async {
        let mut controller = Controller::start().await;
        let (_ovs, _) = bridges(&controller).await;
        put(&mut controller, &[(5, &[1, 2])]).await;
        let seen = controller.seen();
        for bridge in ["br1", "br2"] {
            let at = |is_it: &dyn Fn(&Seen) -> bool| {
                seen.iter().position(|it| it.bridge == bridge && is_it(it)).unwrap()
            };
            let option = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };
            let mapped = at(&|it| it.message == Message::AddTunnelOptions(vec![option]));
            assert!(mapped < at(&Seen::is_reading));
            assert!(mapped < at(&Seen::is_change));
        }
    });
}

#[test]
fn after_a_time_without_a_controller_exactly_what_is_needed_is_sent() {
    in_namespace(|| async {
        let mut first = Controller::start().await;
        let (ovs, _) = bridges(&first).await;
        let all: [(u32, &[u64]); 3] = [(5, &[1, 2]), (6, &[1, 2]), (7, &[1])];
        put(&mut first, &all).await;
        let original = [ovs.program("br1").await, ovs.program("br2").await];
        assert!(original.iter().all(|program| program.flows.len() > 5));
        drop(first);

        // Another that wants the same sends nothing.
        let mut second = Controller::start().await;
        ["br1", "br2"].into_iter().for_each(|bridge| drop(second.relay(&ovs, bridge)));
        put(&mut second, &all).await;
        let seen = second.seen();
        for (bridge, original) in ["br1", "br2"].into_iter().zip(&original) {
            assert_eq!(changes(&seen, bridge), []);
            assert_eq!(readings(&seen, bridge), 1);
            assert_eq!(&ovs.program(bridge).await, original);
        }
        drop(second);

        // Meanwhile a port is attached, a network is deleted, and flows and groups are edited.
        let flow = original[0].flows.keys().find(|key| key.table > 0 && key.priority > 0).unwrap();
        let flow = original[0].flows[flow].with_key(flow).to_string();
        let matching = flow.split(",actions=").next().unwrap();
        ovs.ofctl("--strict mod-flows", "br1", &format!("{matching},actions=drop"));
        ovs.ofctl("add-flow", "br2", "table=0,priority=7777,in_port=99,actions=flood");
        ovs.ofctl("add-group", "br2", "group_id=4711,type=all");
        let before = [ovs.program("br1").await, ovs.program("br2").await];
        let mut third = Controller::start().await;
        ["br1", "br2"].into_iter().for_each(|bridge| drop(third.relay(&ovs, bridge)));
        put(&mut third, &[(5, &[1, 2]), (7, &[1, 2])]).await;
        let seen = third.seen();
        for (number, before) in [(1, &before[0]), (2, &before[1])] {
            let bridge = format!("br{number}");
            let after: Program = ovs.program(&bridge).await;
            let needed = difference(&after, before, true).len();
            assert!(needed > 0);
            assert_eq!(changes(&seen, &bridge).len(), needed, "{bridge}: {seen:#?}");
        }
        assert!(!ovs.program("br2").await.flows.keys().any(|key| key.priority == 7777));
    });
}

#[test]
fn what_others_change_is_mended_at_once_without_asking_again_and_again() {
    in_namespace(|| async {
        let mut controller = Controller::start().await;
        let (ovs, relays) = bridges(&controller).await;
        put(&mut controller, &[(5, &[1, 2])]).await;
        let original = ovs.program("br1").await;
        let seen = controller.seen();
        assert_eq!((readings(&seen, "br1"), readings(&seen, "br2")), (1, 1));

        // Several at once, of every kind.
        let held = relays[0].hold_reports().await;
        ovs.ofctl("add-flow", "br1", "table=0,priority=7777,in_port=99,actions=flood");
        ovs.ofctl("add-flow", "br1", "table=77,priority=1,actions=output:1");
        ovs.ofctl("del-flows", "br1", "table=0");
        assert_ne!(ovs.program("br1").await, original);
        drop(held);
        eventually("it is mended", || async { ovs.program("br1").await == original }).await;
        let seen = controller.seen();
        assert_eq!((readings(&seen, "br1"), readings(&seen, "br2")), (1, 0));
        let is_addition = |message: &&Message| {
            matches!(message, Message::FlowMod(FlowMod { command: FlowModCommand::Add, .. }))
        };
        let sent = changes(&seen, "br1");
        let table = original.flows.keys().filter(|key| key.table == 0).count();
        assert_eq!(sent.iter().filter(is_addition).count(), table);
        assert_eq!(sent.len(), table + 1, "and the one in table 77 goes: {sent:#?}");

        // What the engine changes itself is no reason to read anything.
        controller.put_network(6, &[1, 2]).await;
        controller.engine.remove_port(port(5, 1).id).await;
        ovs.ofctl("add-flow", "br2", "table=77,priority=1,actions=output:1");
        eventually("the other is mended", || async {
            !ovs.program("br2").await.flows.keys().any(|key| key.table == 77)
        })
        .await;
        let seen = controller.seen();
        assert!(changes(&seen, "br1").len() > 2);
        assert_eq!((readings(&seen, "br1"), readings(&seen, "br2")), (0, 1));

        // Nor does it get blind when it has much to change.
        let flows: String =
            (1..=2_000).map(|port| format!("table=77,in_port={port},actions=drop\n")).collect();
        let file = ovs.directory().join("flows");
        std::fs::write(&file, flows).unwrap();
        for _ in 0..2 {
            ovs.ofctl("add-flows", "br2", file.to_str().unwrap());
            eventually("all are gone again", || async {
                !ovs.program("br2").await.flows.keys().any(|key| key.table == 77)
            })
            .await;
        }
    });
}

#[test]
fn a_switch_that_refuses_something_is_read_again_and_recovers() {
    in_namespace(|| async {
        let mut controller = Controller::start().await;
        let ovs = OpenVswitch::start().await;
        let relay = controller.relay(&ovs, "br1");
        ovs.add_bridge("br1", 1).await;
        ovs.ofctl("add-tlv-map", "br1", "{class=0xfff2,type=0x82,len=8}->tun_metadata0");
        controller.engine.put_switch(switch(1)).await;
        controller.engine.set_complete().await;
        let reason = controller.event(|event| match event {
            l2sces_controller::Event::SwitchDown { reason, .. } if reason.contains("refused") => {
                Some(reason)
            }
            _ => None,
        });
        assert!(reason.await.contains("the tunnel option"));
        assert!(controller.seen().iter().all(|seen| !seen.is_reading() && !seen.is_change()));

        ovs.ofctl("del-tlv-map", "br1", "");
        controller.ready([1]).await;
        relay.cut();
        controller.ready([1]).await;
    });
}

#[test]
fn a_network_stays_ready_while_a_port_comes() {
    in_namespace(|| async {
        let mut controller = Controller::start().await;
        let (_ovs, _) = bridges(&controller).await;
        put(&mut controller, &[(7, &[1])]).await;
        for is_first in [true, false] {
            controller.engine.put_port(port(7, 2)).await;
            let mut doubts = Vec::new();
            controller
                .event(|event| match event {
                    Event::PortState { id, ready: true, .. } if id == port(7, 2).id => Some(()),
                    Event::NetworkState { ready: false, message, .. } => {
                        doubts.push(message);
                        None
                    }
                    _ => None,
                })
                .await;
            // What was told at the start comes first.
            assert!(is_first || doubts.is_empty(), "{doubts:?}");
            controller.engine.remove_port(port(7, 2).id).await;
        }

        // Whoever puts it again is told again: another may have put it before, who did not care.
        let slice = "s1".parse().unwrap();
        controller.engine.put_network(NetworkSpec { vni: vni(7), slice }).await;
        controller
            .event(|event| matches!(event, Event::NetworkState { ready: true, .. }).then_some(()))
            .await;
    });
}
