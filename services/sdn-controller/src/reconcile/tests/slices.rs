//! Slices that change while frames use them.

use std::collections::BTreeSet;

use l2sces_controller::{PortRole, PortSpec};
use l2sces_model::Epoch;
use tonic::Code;

use crate::{
    domain::{Key, Links, SliceSpec},
    examples::{link, name, node, port, put_network, put_node, put_port, slice, version},
    fabric::{datapath_id, tunnel_interface},
    reconcile::{
        Reconciler,
        fakes::{Fault, World, run_until, until},
    },
};

fn endpoint(node: &str) -> String {
    format!("http://{node}:50053")
}

/// Whether the bridge of a node has a tunnel to a peer.
fn has_tunnel(world: &World, node: &str, peer: &str) -> bool {
    let interface = tunnel_interface(&name("a"), &name(peer)).to_string();
    let switch = world.agents.switch(&endpoint(node));
    switch.is_some_and(|switch| switch.links.iter().any(|link| link.interface_name == interface))
}

/// A ring of three nodes whose switches have connected.
async fn ring(world: &World) -> Reconciler {
    for node_name in ["n1", "n2", "n3"] {
        put_node(&world.store, &node(node_name)).await;
    }
    world.store.apply_slice(&slice("s1", &["n1", "n2", "n3"])).await.unwrap();
    let reconciler = world.start_complete().await;
    for node_name in ["n1", "n2", "n3"] {
        reconciler.board.set_switch(datapath_id(&name("a"), &name(node_name)), Ok(()));
    }
    run_until(&reconciler, || {
        let ends =
            [("n1", "n2"), ("n1", "n3"), ("n2", "n1"), ("n2", "n3"), ("n3", "n1"), ("n3", "n2")];
        ends.iter().all(|(node, peer)| has_tunnel(world, node, peer))
    })
    .await;
    reconcile_nodes(&reconciler).await;
    reconciler
}

/// Brings to their end what was stopped when it had been seen to have its effect.
async fn reconcile_nodes(reconciler: &Reconciler) {
    for node_name in ["n1", "n2", "n3"] {
        reconciler.reconcile(Key::Node(name(node_name))).await.unwrap();
    }
}

fn line(generation: i64) -> SliceSpec {
    SliceSpec {
        version: version("s1", generation),
        links: Links::Listed(vec![link("n1", "n2", 5), link("n2", "n3", 1)]),
        avoid_transit: [name("n3")].into(),
        ..slice("s1", &["n1", "n2", "n3"])
    }
}

fn wake(reconciler: &Reconciler, nodes: &[&str]) {
    reconciler.queue.wake(Key::Slice(name("s1")));
    nodes.iter().for_each(|node| reconciler.queue.wake(Key::Node(name(node))));
}

fn links_in_fabric(world: &World) -> usize {
    world.fabric.wanted().slices[&name("s1")].links.len()
}

/// The way of a slice's network out of the cluster at a node.
fn trunk(slice: &str, node: &str) -> PortSpec {
    PortSpec {
        id: format!("handoff/{slice}/blue/{node}/1").into(),
        vni: 1.try_into().unwrap(),
        switch: datapath_id(&name("a"), &name(node)),
        interface: "l2t-sps".parse().unwrap(),
        role: PortRole::Trunk {
            segment: 0,
            epoch: Epoch::NONE,
            is_current: true,
            regions: BTreeSet::new(),
        },
    }
}

#[tokio::test]
async fn costs_and_nodes_to_avoid_reach_the_fabric() {
    let world = World::new().await;
    let reconciler = ring(&world).await;
    world.store.apply_slice(&line(2)).await.unwrap();
    wake(&reconciler, &["n1", "n2", "n3"]);
    run_until(&reconciler, || links_in_fabric(&world) == 2).await;
    let spec = world.fabric.wanted().slices[&name("s1")].clone();
    assert_eq!(spec.links.iter().map(|link| link.cost).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(spec.avoid_transit, [datapath_id(&name("a"), &name("n3"))].into());
}

#[tokio::test]
async fn tunnels_that_a_slice_loses_stay_until_its_switches_have_followed() {
    let world = World::new().await;
    let reconciler = ring(&world).await;
    world.store.apply_slice(&line(2)).await.unwrap();
    world.script.fail("fabric.put_slice", Fault::HangBefore);
    wake(&reconciler, &["n1", "n2", "n3"]);
    let moving = async { world.script.hangs().await };
    let workers =
        l2sces_reconcile::run(reconciler.queue.clone(), 8, |key: Key| reconciler.reconcile(key));
    tokio::select! {
        () = workers => {}
        () = moving => {}
    }
    // The switches have not confirmed: whoever looks at the nodes now changes nothing.
    for node_name in ["n1", "n3"] {
        reconciler.reconcile(Key::Node(name(node_name))).await.unwrap();
    }
    assert!(has_tunnel(&world, "n1", "n3") && has_tunnel(&world, "n3", "n1"));
    world.script.heal();
    wake(&reconciler, &[]);
    run_until(&reconciler, || !has_tunnel(&world, "n1", "n3") && !has_tunnel(&world, "n3", "n1"))
        .await;
    assert!(has_tunnel(&world, "n1", "n2") && has_tunnel(&world, "n2", "n3"));
}

#[tokio::test]
async fn after_a_restart_former_tunnels_wait_for_every_switch() {
    let world = World::new().await;
    drop(ring(&world).await);
    world.store.apply_slice(&line(2)).await.unwrap();
    let reconciler = world.start_complete().await;
    run_until(&reconciler, || links_in_fabric(&world) == 2).await;
    let settled = || reconciler.watches.ports(&name("n1")).is_some();
    run_until(&reconciler, settled).await;
    let connect = |node: &str| {
        reconciler.board.set_switch(datapath_id(&name("a"), &name(node)), Ok(()));
    };
    connect("n1");
    for node_name in ["n1", "n2", "n3"] {
        reconciler.reconcile(Key::Node(name(node_name))).await.unwrap();
    }
    reconciler.reconcile(Key::Slice(name("s1"))).await.unwrap();
    assert!(has_tunnel(&world, "n1", "n3"), "n3 may still send over it");
    connect("n3");
    reconciler.queue.wake(Key::Node(name("n3")));
    run_until(&reconciler, || !has_tunnel(&world, "n1", "n3") && !has_tunnel(&world, "n3", "n1"))
        .await;
}

#[tokio::test]
async fn new_tunnels_are_made_before_frames_are_led_over_them() {
    let world = World::new().await;
    let reconciler = ring(&world).await;
    world.store.apply_slice(&line(2)).await.unwrap();
    wake(&reconciler, &["n1", "n2", "n3"]);
    run_until(&reconciler, || !has_tunnel(&world, "n1", "n3") && !has_tunnel(&world, "n3", "n1"))
        .await;
    reconcile_nodes(&reconciler).await;

    let mut back = slice("s1", &["n1", "n2", "n3"]);
    back.version = version("s1", 3);
    world.store.apply_slice(&back).await.unwrap();
    world.script.calls();
    // The slice is looked at first, and does not hurry.
    reconciler.reconcile(Key::Slice(name("s1"))).await.unwrap();
    reconciler.reconcile(Key::Node(name("n1"))).await.unwrap();
    reconciler.reconcile(Key::Slice(name("s1"))).await.unwrap();
    assert_eq!(links_in_fabric(&world), 2);
    reconciler.queue.wake(Key::Node(name("n3")));
    run_until(&reconciler, || links_in_fabric(&world) == 3).await;
    let calls = world.script.calls();
    let made = calls.iter().rposition(|call| call.starts_with("agent.apply_switch http://n3"));
    let led = calls.iter().position(|call| call == "fabric.put_slice s1");
    assert!(made < led, "{calls:?}");
}

#[tokio::test]
async fn a_slice_does_not_wait_for_an_agent_that_fails() {
    let world = World::new().await;
    let reconciler = ring(&world).await;
    world.store.apply_slice(&line(2)).await.unwrap();
    wake(&reconciler, &["n1", "n2", "n3"]);
    run_until(&reconciler, || !has_tunnel(&world, "n3", "n1")).await;
    world.script.fail("agent.apply_switch", Fault::Refuse(Code::Unavailable));
    let mut back = slice("s1", &["n1", "n2", "n3"]);
    back.version = version("s1", 3);
    world.store.apply_slice(&back).await.unwrap();
    wake(&reconciler, &["n1", "n2", "n3"]);
    run_until(&reconciler, || links_in_fabric(&world) == 3).await;
}

#[tokio::test]
async fn deleting_a_slice_takes_no_tunnel_flow_or_port_from_another() {
    let world = World::new().await;
    put_network(&world.store).await;
    put_port(&world.store, &port("blue", "p")).await.unwrap();
    put_node(&world.store, &node("n3")).await;
    world.store.apply_slice(&slice("s2", &["n1", "n2", "n3"])).await.unwrap();
    let reconciler = world.start_complete().await;
    for node_name in ["n1", "n2", "n3"] {
        reconciler.board.set_switch(datapath_id(&name("a"), &name(node_name)), Ok(()));
    }
    run_until(&reconciler, || {
        has_tunnel(&world, "n1", "n2")
            && has_tunnel(&world, "n1", "n3")
            && has_tunnel(&world, "n2", "n3")
            && world.agents.interfaces().len() == 1
    })
    .await;
    let before = world.fabric.wanted();
    world.store.mark_slice(&name("s2")).await.unwrap();
    world.script.fail("fabric.remove_slice", Fault::HangBefore);
    tokio::select! {
        _ = reconciler.reconcile(Key::Slice(name("s2"))) => panic!("it hangs"),
        () = world.script.hangs() => {}
    }
    reconciler.reconcile(Key::Node(name("n1"))).await.unwrap();
    assert!(has_tunnel(&world, "n1", "n3"), "flows go first");
    world.script.heal();
    reconciler.queue.wake(Key::Slice(name("s2")));
    run_until(&reconciler, || !has_tunnel(&world, "n1", "n3") && !has_tunnel(&world, "n2", "n3"))
        .await;
    let mut expected = before;
    expected.slices.remove(&name("s2"));
    assert_eq!(world.fabric.wanted(), expected);
    assert!(has_tunnel(&world, "n1", "n2") && has_tunnel(&world, "n2", "n1"));
    assert_eq!(world.agents.interfaces().len(), 1);
}

#[tokio::test]
async fn a_node_goes_when_frames_are_led_around_it() {
    let world = World::new().await;
    let reconciler = ring(&world).await;
    world.store.mark_node(&name("n3"), false).await.unwrap();
    reconciler.reconcile(Key::Node(name("n3"))).await.unwrap();
    reconciler.reconcile(Key::Node(name("n1"))).await.unwrap();
    assert!(world.agents.switch(&endpoint("n3")).is_some());
    assert!(has_tunnel(&world, "n1", "n3"));
    world.script.calls();
    wake(&reconciler, &[]);
    run_until(&reconciler, || {
        world.agents.switch(&endpoint("n3")).is_none() && !has_tunnel(&world, "n1", "n3")
    })
    .await;
    let calls = world.script.calls();
    let led = calls.iter().position(|call| call == "fabric.put_slice s1");
    let gone = calls.iter().position(|call| call.starts_with("agent.delete_switch"));
    assert!(led < gone, "{calls:?}");
    assert_eq!(links_in_fabric(&world), 1);
}

#[tokio::test]
async fn a_node_whose_agent_never_returns_goes_by_force_only() {
    let world = World::new().await;
    let reconciler = ring(&world).await;
    world.script.fail("agent.delete_switch", Fault::Refuse(Code::Unavailable));
    world.store.mark_node(&name("n3"), false).await.unwrap();
    reconciler.reconcile(Key::Slice(name("s1"))).await.unwrap();
    assert!(reconciler.reconcile(Key::Node(name("n3"))).await.is_err());
    world.store.mark_node(&name("n3"), true).await.unwrap();
    reconciler.reconcile(Key::Node(name("n3"))).await.unwrap();
    assert!(world.store.node(&name("n3")).await.unwrap().is_none());
    assert!(!world.fabric.wanted().switches.contains_key(&datapath_id(&name("a"), &name("n3"))));
}

#[tokio::test]
async fn a_slice_keeps_a_gateway_that_it_has_lost_while_a_network_uses_its_trunk() {
    let world = World::new().await;
    let reconciler = ring(&world).await;
    // A network of another slice uses it too.
    for slice in ["s1", "s2"] {
        reconciler.fabric.put_port(trunk(slice, "n3")).await;
    }
    let mut smaller = slice("s1", &["n1", "n2"]);
    smaller.version = version("s1", 2);
    world.store.apply_slice(&smaller).await.unwrap();
    wake(&reconciler, &["n1", "n2", "n3"]);
    reconciler.reconcile(Key::Slice(name("s1"))).await.unwrap();
    reconciler.reconcile(Key::Node(name("n3"))).await.unwrap();
    assert_eq!(links_in_fabric(&world), 3);
    assert!(has_tunnel(&world, "n3", "n1") && has_tunnel(&world, "n3", "n2"));

    // It is the same after a restart, when it is not known which trunks are used.
    let restarted = world.start();
    restarted.load().await.unwrap();
    assert_eq!(links_in_fabric(&world), 3);

    reconciler.fabric.remove_port("handoff/s1/blue/n3/1".into()).await;
    run_until(&reconciler, || links_in_fabric(&world) == 1 && !has_tunnel(&world, "n3", "n1"))
        .await;
}

/// A ring of which a gateway is being deleted while a network crosses its trunk. Everybody has looked
/// at that, and nobody does again unless woken.
async fn ring_without_a_crossed_gateway(world: &World, forced: bool) -> Reconciler {
    let reconciler = ring(world).await;
    let nodes = ["n1", "n2", "n3"].map(name);
    until(|| nodes.iter().all(|node| reconciler.watches.ports(node).is_some())).await;
    reconciler.fabric.put_port(trunk("s1", "n3")).await;
    world.store.mark_node(&name("n3"), forced).await.unwrap();
    reconciler.reconcile(Key::Slice(name("s1"))).await.unwrap();
    assert_eq!(links_in_fabric(world), 3);
    reconciler.reconcile(Key::Node(name("n3"))).await.unwrap();
    let keys = nodes.map(Key::Node).into_iter().chain([Key::Slice(name("s1"))]);
    keys.for_each(|key| reconciler.queue.forget(&key));
    reconciler
}

#[tokio::test]
async fn a_gateway_that_is_deleted_goes_when_the_last_network_has_left_its_trunk() {
    let world = World::new().await;
    let reconciler = ring_without_a_crossed_gateway(&world, false).await;
    assert!(world.agents.switch(&endpoint("n3")).is_some());
    reconciler.fabric.remove_port(trunk("s1", "n3").id).await;
    run_until(&reconciler, || {
        world.agents.switch(&endpoint("n3")).is_none() && !has_tunnel(&world, "n1", "n3")
    })
    .await;
    assert_eq!(links_in_fabric(&world), 1);
}

#[tokio::test]
async fn a_slice_does_not_keep_a_gateway_that_was_deleted_by_force() {
    let world = World::new().await;
    let reconciler = ring_without_a_crossed_gateway(&world, true).await;
    assert!(world.store.node(&name("n3")).await.unwrap().is_none());
    reconciler.fabric.remove_port(trunk("s1", "n3").id).await;
    run_until(&reconciler, || links_in_fabric(&world) == 1).await;
}

#[tokio::test]
async fn a_former_gateway_keeps_its_trunk_while_a_network_uses_it() {
    let world = World::new().await;
    put_network(&world.store).await;
    let set_gateway = async |generation: i64, gateway: bool| {
        let mut spec = node("n1");
        spec.version = version("n1", generation);
        spec.gateway = gateway;
        put_node(&world.store, &spec).await;
    };
    set_gateway(2, true).await;
    let reconciler = world.start_complete().await;
    let handoff = trunk("s1", "n1");
    reconciler.fabric.put_port(handoff.clone()).await;
    let has_trunk = || world.agents.switch(&endpoint("n1")).is_some_and(|s| s.trunk.is_some());
    reconciler.reconcile(Key::Node(name("n1"))).await.unwrap();
    set_gateway(3, false).await;
    reconciler.reconcile(Key::Node(name("n1"))).await.unwrap();
    assert!(has_trunk());
    // The network moves to another gateway, and nothing else is said.
    let elsewhere = datapath_id(&name("a"), &name("n2"));
    let moved = PortSpec { switch: elsewhere, ..handoff };
    reconciler.fabric.put_port(moved).await;
    run_until(&reconciler, || !has_trunk()).await;
    reconciler.reconcile(Key::Node(name("n1"))).await.unwrap();
    assert!(!world.store.node(&name("n1")).await.unwrap().unwrap().former_gateway);
}
