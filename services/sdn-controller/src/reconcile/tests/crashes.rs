//! The process may end at any line; the next one must find its way from there.

use crate::{
    board::Fact,
    domain::Key,
    examples::{name, network, network_key, port, put_network, put_port},
    reconcile::{
        Reconciler,
        fakes::{Fault, World},
    },
    store::{PortApplied, PortCondition},
};

/// Begins to reconcile, and ends where a call hangs, as if the process were killed there.
async fn killed_at(world: &World, reconciler: Reconciler, key: Key, call: &'static str, at: Fault) {
    world.script.fail(call, at);
    tokio::select! {
        done = reconciler.reconcile(key) => panic!("{call} was not called: {done:?}"),
        () = world.script.hangs() => {}
    }
    world.script.heal();
}

#[tokio::test]
async fn the_deletion_of_a_port_is_completed_wherever_it_was_broken_off() {
    let world = World::new().await;
    put_network(&world.store).await;
    world.store.apply_network(&network("red", 2, "10.2.0.0/24")).await.unwrap();
    let calls = [
        "fabric.remove_port",
        "exchange.delete_endpoint",
        "agent.delete_port",
        "exchange.release_block",
    ];
    for (releases, call) in (0..).step_by(2).zip(calls) {
        for (releases, at) in (releases..).zip([Fault::HangBefore, Fault::HangAfter]) {
            let case = format!("{call} {at:?}");
            let spec = port("red", "p");
            let key = Key::Port(spec.key.clone());
            let single = "10.2.0.11/32".parse().unwrap();
            world.store.add_block(&network_key("red"), single, releases).await.unwrap();
            put_port(&world.store, &spec).await.unwrap();
            let reconciler = world.start_complete().await;
            reconciler.board.change_port(&spec.key, |facts| facts.flows = Fact::Done(()));
            reconciler.reconcile(key.clone()).await.unwrap();
            assert!(world.exchange.endpoint("s1/red/a/p").is_some(), "{case}");

            world.store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
            killed_at(&world, reconciler, key.clone(), call, at).await;
            assert!(world.store.port(&spec.key).await.unwrap().is_some(), "{case}");

            let reconciler = world.start_complete().await;
            reconciler.reconcile(key).await.unwrap();
            assert_eq!(world.exchange.endpoint("s1/red/a/p"), None, "{case}");
            assert_eq!(world.agents.interfaces(), [], "{case}");
            assert!(world.fabric.wanted().ports.is_empty(), "{case}");
            assert!(world.store.port(&spec.key).await.unwrap().is_none(), "{case}");
            let forgotten = world.store.apply_port(&spec).await.unwrap();
            assert!(matches!(forgotten, PortApplied::NeedsBlock(_)), "{case}");
        }
    }
}

#[tokio::test]
async fn a_port_is_made_wherever_that_was_broken_off() {
    let world = World::new().await;
    put_network(&world.store).await;
    let cases = ["fabric.put_port", "agent.apply_port", "exchange.apply_endpoint"];
    for (number, call) in cases.into_iter().enumerate() {
        let spec = port("blue", &format!("p{number}"));
        let key = Key::Port(spec.key.clone());
        put_port(&world.store, &spec).await.unwrap();
        let reconciler = world.start_complete().await;
        reconciler.board.change_port(&spec.key, |facts| facts.flows = Fact::Done(()));
        killed_at(&world, reconciler, key.clone(), call, Fault::HangBefore).await;

        let reconciler = world.start_complete().await;
        reconciler.board.change_port(&spec.key, |facts| facts.flows = Fact::Done(()));
        reconciler.reconcile(key.clone()).await.unwrap();
        let state = reconciler.board.state(&key).unwrap();
        assert_eq!(state.condition, Ok(()), "{call}");
        let announced = world.exchange.endpoint(&format!("s1/blue/a/p{number}"));
        assert!(announced.is_some(), "{call}");
    }
}

#[tokio::test]
async fn the_deletion_of_all_the_rest_is_completed_wherever_it_was_broken_off() {
    for at in [Fault::HangBefore, Fault::HangAfter] {
        let world = World::new().await;
        put_network(&world.store).await;
        let reconciler = world.start_complete().await;
        for node in ["n1", "n2"] {
            reconciler.reconcile(Key::Node(name(node))).await.unwrap();
        }

        world.store.mark_network(&network_key("blue")).await.unwrap();
        let key = Key::Network(network_key("blue"));
        killed_at(&world, reconciler, key.clone(), "fabric.remove_network", at.clone()).await;
        let reconciler = world.start_complete().await;
        reconciler.reconcile(key).await.unwrap();
        assert!(world.store.network(&network_key("blue")).await.unwrap().is_none());

        world.store.mark_slice(&name("s1")).await.unwrap();
        let key = Key::Slice(name("s1"));
        killed_at(&world, reconciler, key.clone(), "fabric.remove_slice", at.clone()).await;
        let reconciler = world.start_complete().await;
        reconciler.reconcile(key).await.unwrap();
        assert!(world.store.slice(&name("s1")).await.unwrap().is_none());

        let (mut reconciler, key) = (reconciler, Key::Node(name("n1")));
        world.store.mark_node(&name("n1"), false).await.unwrap();
        for call in ["agent.delete_switch", "fabric.remove_switch"] {
            killed_at(&world, reconciler, key.clone(), call, at.clone()).await;
            reconciler = world.start_complete().await;
        }
        reconciler.reconcile(key).await.unwrap();
        assert!(world.store.node(&name("n1")).await.unwrap().is_none());
        assert_eq!(world.agents.switch("http://n1:50053"), None);
        assert_eq!(world.fabric.wanted().switches.len(), 1);
    }
}
