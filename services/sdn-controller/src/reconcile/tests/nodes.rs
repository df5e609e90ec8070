use tonic::Code;

use crate::{
    domain::{Key, Reason},
    examples::{name, node, port, put_network, put_node, put_port, version},
    fabric::{datapath_id, tunnel_interface},
    reconcile::{
        Reconciler,
        fakes::{Fault, World, run_during, run_until, until},
    },
    store::{PortCondition, StoreError},
};

const N1: &str = "http://n1:50053";

#[tokio::test]
async fn a_bridge_has_the_tunnels_of_all_slices_and_a_gateways_has_a_trunk() {
    let world = World::new().await;
    put_network(&world.store).await;
    let mut gateway = node("n1");
    gateway.version = version("n1", 2);
    gateway.gateway = true;
    put_node(&world.store, &gateway).await;
    let reconciler = world.start_complete().await;
    reconciler.reconcile(Key::Node(name("n1"))).await.unwrap();
    let switch = world.agents.switch(N1).unwrap();
    assert_eq!(switch.datapath_id, datapath_id(&name("a"), &name("n1")).get());
    assert_eq!(switch.controllers, ["tcp:10.0.0.9:6653"]);
    let [link] = &switch.links[..] else { panic!("{:?}", switch.links) };
    assert_eq!(link.interface_name, tunnel_interface(&name("a"), &name("n2")).to_string());
    assert_eq!((&link.local_address[..], &link.remote_address[..]), ("10.0.0.1", "10.0.0.2"));
    assert_eq!(switch.trunk.unwrap().peer_interface_name, "l2t-ned");

    // The fabric is told of the same interfaces, from both ends.
    let links = &world.fabric.wanted().slices[&name("s1")].links;
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].a.interface.as_str(), link.interface_name);
    assert_eq!(links[0].b.interface, tunnel_interface(&name("a"), &name("n1")));

    assert_eq!(link.bfd_interval_ms, 200);
}

#[tokio::test]
async fn a_node_whose_agent_fails_says_so_and_recovers_with_its_ports() {
    let world = World::new().await;
    put_network(&world.store).await;
    put_port(&world.store, &port("blue", "p")).await.unwrap();
    let reconciler = world.start_complete().await;
    let reason = |key: &Key| {
        reconciler.board.state(key).unwrap().condition.err().map(|trouble| trouble.reason)
    };
    let node_key = Key::Node(name("n1"));
    let port_key = Key::Port(port("blue", "p").key);
    for call in ["agent.watch_ports", "agent.apply_switch", "agent.apply_port"] {
        world.script.fail(call, Fault::Refuse(Code::Unavailable));
    }
    run_until(&reconciler, || {
        reason(&node_key) == Some(Reason::AgentUnreachable)
            && reason(&port_key) == Some(Reason::AgentUnreachable)
    })
    .await;
    world.script.heal();
    run_until(&reconciler, || {
        reason(&node_key) == Some(Reason::SwitchNotConnected)
            && reason(&port_key) == Some(Reason::SwitchNotConnected)
            && world.agents.interfaces().len() == 1
    })
    .await;
    reconciler.board.set_switch(datapath_id(&name("a"), &name("n1")), Ok(()));
    assert_eq!(reason(&node_key), None);
}

#[tokio::test]
async fn an_agent_known_to_be_away_is_not_called_for_its_ports() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    world.script.fail("agent.watch_ports", Fault::Refuse(Code::Unavailable));
    run_until(&reconciler, || reconciler.watches.fault(&name("n1")).is_some()).await;
    put_port(&world.store, &port("blue", "p")).await.unwrap();
    world.script.calls();
    let key = Key::Port(port("blue", "p").key);
    reconciler.reconcile(key.clone()).await.unwrap();
    let calls = world.script.calls();
    assert!(!calls.iter().any(|call| call.starts_with("agent.apply_port")), "{calls:?}");
    world.script.heal();
    run_until(&reconciler, || world.agents.interfaces().len() == 1).await;
}

#[tokio::test]
async fn an_interface_that_vanishes_is_made_again() {
    let world = World::new().await;
    put_network(&world.store).await;
    let stored = put_port(&world.store, &port("blue", "p")).await.unwrap().port;
    let interface = stored.interface_name.as_str();
    let reconciler = world.start_complete().await;
    let made = || world.agents.port(N1, interface).is_some();
    let knows = || reconciler.watches.ports(&name("n1")).is_some_and(|ports| ports.len() == 1);
    run_until(&reconciler, || made() && knows()).await;
    world.agents.lose(N1, interface);
    assert!(!made());
    run_until(&reconciler, made).await;
}

#[tokio::test]
async fn an_interface_that_breaks_is_made_again_once() {
    let world = World::new().await;
    put_network(&world.store).await;
    let stored = put_port(&world.store, &port("blue", "p")).await.unwrap().port;
    let interface = stored.interface_name.as_str();
    let reconciler = world.start_complete().await;
    let knows = || reconciler.watches.ports(&name("n1")).is_some_and(|ports| ports.len() == 1);
    run_until(&reconciler, || world.agents.port(N1, interface).is_some() && knows()).await;
    // Whatever the beginning of the watch has asked for is done when nothing is left to do.
    run_until(&reconciler, || !reconciler.board.port_facts(&stored.key).unwrap().recheck).await;
    let calls = std::cell::RefCell::new(Vec::new());
    let applied = || {
        calls.borrow_mut().extend(world.script.calls());
        calls.borrow().iter().filter(|call| call.starts_with("agent.apply_port")).count()
    };
    applied();
    calls.borrow_mut().clear();
    world.agents.report(N1, interface, "no carrier");
    run_until(&reconciler, || applied() == 1).await;
    // Made again, and still out of order: it was in order when it was made, so once more.
    world.agents.report(N1, interface, "no carrier");
    run_until(&reconciler, || applied() == 2).await;
}

#[tokio::test]
async fn a_bridge_that_others_change_is_made_again() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    let made = || world.agents.switch(N1).is_some();
    let knows = || reconciler.watches.ports(&name("n1")).is_some();
    run_until(&reconciler, || made() && knows()).await;
    changes_are_mended(&world, &reconciler).await;

    // Nor is it missed after the agent was restarted.
    world.agents.end_switch_watch(N1);
    run_until(&reconciler, || !knows()).await;
    run_until(&reconciler, knows).await;
    changes_are_mended(&world, &reconciler).await;
}

/// More of them than there are other reasons to look at the node when a watch begins.
async fn changes_are_mended(world: &World, reconciler: &Reconciler) {
    let changes = async {
        for _ in 0..5 {
            world.agents.lose_bridge(N1);
            until(|| world.agents.switch(N1).is_some()).await;
        }
    };
    run_during(reconciler, changes).await;
}

#[tokio::test]
async fn a_port_that_appears_and_nobody_wants_is_removed() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    run_until(&reconciler, || reconciler.watches.ports(&name("n1")).is_some()).await;
    // More of them than there are other reasons to look at the node when the watch begins.
    let ports = async {
        for _ in 0..5 {
            world.agents.leave_behind(N1, "l2p-00000000000", "s1/blue/gone");
            world.agents.report(N1, "l2p-00000000000", "");
            until(|| world.agents.interfaces().is_empty()).await;
        }
    };
    run_during(&reconciler, ports).await;
}

#[tokio::test]
async fn ports_that_nobody_wants_are_removed_when_the_agent_is_back() {
    let world = World::new().await;
    put_network(&world.store).await;
    let stored = put_port(&world.store, &port("blue", "p")).await.unwrap().port;
    let wanted = stored.interface_name.to_string();
    world.agents.leave_behind(N1, &wanted, "s1/blue/p");
    world.agents.leave_behind(N1, "l2p-00000000000", "s1/blue/gone");
    world.agents.leave_behind(N1, "somebodys", "");
    let reconciler = world.start_complete().await;
    run_until(&reconciler, || world.agents.port(N1, "l2p-00000000000").is_none()).await;
    assert!(world.agents.port(N1, &wanted).is_some());
    assert!(world.agents.port(N1, "somebodys").is_some());
}

#[tokio::test]
async fn a_node_that_never_returns_takes_its_ports_along_by_force() {
    let world = World::new().await;
    put_network(&world.store).await;
    let spec = port("blue", "p");
    put_port(&world.store, &spec).await.unwrap();
    put_port(&world.store, &port("blue", "q")).await.unwrap();
    let reconciler = world.start_complete().await;
    run_until(&reconciler, || world.agents.interfaces().len() == 2).await;
    for call in ["agent.delete_port", "agent.delete_switch"] {
        world.script.fail(call, Fault::Refuse(Code::Unavailable));
    }
    // As when its pod is gone: the port is to go, and cannot.
    world.store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
    assert!(reconciler.reconcile(Key::Port(spec.key.clone())).await.is_err());

    let refused = world.store.mark_node(&name("n1"), false).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    world.store.mark_node(&name("n1"), true).await.unwrap();
    let key = Key::Node(name("n1"));
    reconciler.queue.wake(key.clone());
    run_until(&reconciler, || reconciler.board.state(&key).is_none()).await;
    assert!(world.store.node(&name("n1")).await.unwrap().is_none());
    assert!(world.store.port(&spec.key).await.unwrap().is_none());
    assert!(world.fabric.wanted().ports.is_empty());
    let mut elsewhere = spec;
    elsewhere.node = name("n2");
    put_port(&world.store, &elsewhere).await.unwrap();
}

#[tokio::test]
async fn a_deleted_node_waits_for_its_agent() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    let key = Key::Node(name("n1"));
    reconciler.reconcile(key.clone()).await.unwrap();
    reconciler.board.set_switch(datapath_id(&name("a"), &name("n2")), Ok(()));
    world.store.mark_node(&name("n1"), false).await.unwrap();
    reconciler.reconcile(Key::Slice(name("s1"))).await.unwrap();
    world.script.fail("agent.delete_switch", Fault::Refuse(Code::Unavailable));
    assert!(reconciler.reconcile(key.clone()).await.is_err());
    let state = reconciler.board.state(&key).unwrap();
    assert_eq!(state.condition.unwrap_err().reason, Reason::Deleting);
    world.script.heal();
    reconciler.reconcile(key.clone()).await.unwrap();
    assert!(reconciler.board.state(&key).is_none());
    assert!(world.store.node(&name("n1")).await.unwrap().is_none());
}
