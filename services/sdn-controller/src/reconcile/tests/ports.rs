use tonic::Code;

use crate::{
    board::Fact,
    domain::{Change, Key, Reason},
    examples::{name, port, put_network, put_port},
    reconcile::{
        Reconciler,
        fakes::{Fault, World, run_until},
    },
    store::PortCondition,
};

fn reason(reconciler: &Reconciler, key: &Key) -> Option<Reason> {
    reconciler.board.state(key).unwrap().condition.err().map(|trouble| trouble.reason)
}

/// The engine sees the port's flows live.
fn live(reconciler: &Reconciler, port_name: &str) {
    let key = port("blue", port_name).key;
    reconciler.board.change_port(&key, |facts| facts.flows = Fact::Done(()));
    reconciler.queue.wake(Key::Port(key));
}

#[tokio::test]
async fn a_port_is_made_then_live_then_announced_then_ready() {
    let world = World::new().await;
    put_network(&world.store).await;
    let stored = put_port(&world.store, &port("blue", "p")).await.unwrap().port;
    let reconciler = world.start_complete().await;
    let key = Key::Port(stored.key.clone());
    world.script.calls();

    reconciler.reconcile(key.clone()).await.unwrap();
    let made = world.agents.port("http://n1:50053", stored.interface_name.as_str()).unwrap();
    assert_eq!(made.owner, "s1/blue/p");
    let id = "port/s1/blue/p".into();
    assert_eq!(world.fabric.wanted().ports[&id].interface, stored.interface_name);
    assert_eq!(world.exchange.endpoint("s1/blue/a/p"), None);
    assert_eq!(reason(&reconciler, &key), Some(Reason::SwitchNotConnected));

    live(&reconciler, "p");
    world.script.calls();
    reconciler.reconcile(key.clone()).await.unwrap();
    let announced = world.exchange.endpoint("s1/blue/a/p").unwrap();
    assert_eq!(announced.address, "10.1.0.1");
    assert_eq!(announced.mac, stored.mac.to_string());
    assert_eq!(reason(&reconciler, &key), None);
    let calls = world.script.calls();
    // The agent was not called again on the way.
    let expected = [
        "fabric.put_port port/s1/blue/p",
        "exchange.apply_endpoint s1/blue/a/p",
        "agent.announce_port s1/blue/p",
    ];
    assert_eq!(calls, expected);

    // Nothing is left to do.
    reconciler.reconcile(key).await.unwrap();
    assert_eq!(world.script.calls(), ["fabric.put_port port/s1/blue/p"]);
}

#[tokio::test]
async fn a_port_tells_its_address_once_for_each_version_and_not_after_a_restart() {
    let world = World::new().await;
    put_network(&world.store).await;
    let mut spec = port("blue", "p");
    put_port(&world.store, &spec).await.unwrap();
    let key = Key::Port(spec.key.clone());
    let told = async |reconciler: &Reconciler| {
        live(reconciler, "p");
        world.script.calls();
        reconciler.reconcile(key.clone()).await.unwrap();
        let calls = world.script.calls();
        calls.iter().filter(|call| call.starts_with("agent.announce_port")).count()
    };
    let reconciler = world.start_complete().await;
    world.script.fail("agent.announce_port", Fault::Refuse(Code::Unimplemented));
    assert_eq!(told(&reconciler).await, 1);
    assert_eq!(reason(&reconciler, &key), None, "the port is none the worse");
    world.script.heal();
    assert_eq!(told(&reconciler).await, 1);
    assert_eq!(told(&reconciler).await, 0);
    drop(reconciler);
    let reconciler = world.start_complete().await;
    assert_eq!(told(&reconciler).await, 0);
    spec.version.generation = 2;
    put_port(&world.store, &spec).await.unwrap();
    assert_eq!(told(&reconciler).await, 1);
}

#[tokio::test]
async fn what_goes_wrong_is_the_reason_and_recovers() {
    let cases = [
        ("agent.apply_port", Code::NotFound, Reason::NoSuchNamespace),
        ("agent.apply_port", Code::Unavailable, Reason::AgentUnreachable),
        ("agent.apply_port", Code::DeadlineExceeded, Reason::AgentUnreachable),
        ("agent.apply_port", Code::FailedPrecondition, Reason::AgentRefused),
        ("exchange.apply_endpoint", Code::AlreadyExists, Reason::MacConflict),
        ("exchange.apply_endpoint", Code::Unavailable, Reason::NotAnnounced),
        ("exchange.apply_endpoint", Code::FailedPrecondition, Reason::NotAnnounced),
    ];
    let world = World::new().await;
    put_network(&world.store).await;
    for (number, (call, code, expected)) in cases.into_iter().enumerate() {
        let port_name = format!("p{number}");
        let spec = port("blue", &port_name);
        put_port(&world.store, &spec).await.unwrap();
        let reconciler = world.start_complete().await;
        live(&reconciler, &port_name);
        let key = Key::Port(spec.key);
        world.script.fail(call, Fault::Refuse(code));
        let failed = reconciler.reconcile(key.clone()).await;
        assert!(failed.is_err(), "{call} {code:?} must be tried again");
        assert_eq!(reason(&reconciler, &key), Some(expected), "{call} {code:?}");
        world.script.heal();
        reconciler.reconcile(key.clone()).await.unwrap();
        assert_eq!(reason(&reconciler, &key), None, "{call} {code:?}");
    }
}

#[tokio::test]
async fn a_port_moves_to_another_node_and_leaves_nothing_behind() {
    let world = World::new().await;
    put_network(&world.store).await;
    let mut spec = port("blue", "p");
    put_port(&world.store, &spec).await.unwrap();
    let reconciler = world.start_complete().await;
    run_until(&reconciler, || {
        world.agents.interfaces().len() == 1
            && reconciler.watches.ports(&name("n1")).is_some_and(|ports| ports.len() == 1)
    })
    .await;

    spec.node = name("n2");
    spec.version.generation = 2;
    let stored = put_port(&world.store, &spec).await.unwrap();
    let interface = stored.port.interface_name.to_string();
    reconciler.queue.wake(Key::Port(spec.key));
    reconciler.queue.wake(Key::Node(stored.former_node.unwrap()));
    let only = [("http://n2:50053".to_owned(), interface)];
    run_until(&reconciler, || world.agents.interfaces() == only).await;
}

#[tokio::test]
async fn a_new_version_is_not_ready_because_the_former_was() {
    let world = World::new().await;
    put_network(&world.store).await;
    let mut spec = port("blue", "p");
    put_port(&world.store, &spec).await.unwrap();
    let reconciler = world.start_complete().await;
    let key = Key::Port(spec.key.clone());
    live(&reconciler, "p");
    reconciler.reconcile(key.clone()).await.unwrap();
    assert_eq!(reason(&reconciler, &key), None);

    spec.version.generation = 2;
    spec.mac = Some("02:00:00:00:00:42".parse().unwrap());
    let stored = put_port(&world.store, &spec).await.unwrap().port;
    reconciler.board.put_port(&stored);
    assert_eq!(reason(&reconciler, &key), Some(Reason::Pending));
    reconciler.reconcile(key.clone()).await.unwrap();
    assert_eq!(reason(&reconciler, &key), None);
    assert_eq!(world.exchange.endpoint("s1/blue/a/p").unwrap().mac, "02:00:00:00:00:42");
}

#[tokio::test]
async fn an_alias_is_announced_and_so_is_its_change_also_after_a_restart() {
    let world = World::new().await;
    put_network(&world.store).await;
    let mut spec = port("blue", "p");
    let key = Key::Port(spec.key.clone());
    let announced = async |reconciler: &Reconciler| {
        live(reconciler, "p");
        reconciler.reconcile(key.clone()).await.unwrap();
        world.exchange.endpoint("s1/blue/a/p").unwrap().alias
    };
    spec.alias = Some(name("app"));
    put_port(&world.store, &spec).await.unwrap();
    let reconciler = world.start_complete().await;
    assert_eq!(announced(&reconciler).await, "app");

    spec.version.generation = 2;
    spec.alias = Some(name("shop"));
    let stored = put_port(&world.store, &spec).await.unwrap().port;
    assert_eq!(world.store.port(&spec.key).await.unwrap().unwrap().alias, stored.alias);
    drop(reconciler);
    let reconciler = world.start_complete().await;
    assert_eq!(announced(&reconciler).await, "shop");

    spec.version.generation = 3;
    spec.alias = None;
    put_port(&world.store, &spec).await.unwrap();
    assert_eq!(announced(&reconciler).await, "");
}

#[tokio::test]
async fn a_deletion_takes_the_flows_first_and_waits_for_nobody_with_them() {
    let world = World::new().await;
    put_network(&world.store).await;
    let spec = port("blue", "p");
    put_port(&world.store, &spec).await.unwrap();
    let reconciler = world.start_complete().await;
    let key = Key::Port(spec.key.clone());
    live(&reconciler, "p");
    reconciler.reconcile(key.clone()).await.unwrap();

    world.store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
    for call in ["agent.delete_port", "exchange.delete_endpoint"] {
        world.script.fail(call, Fault::Refuse(Code::Unavailable));
    }
    assert!(reconciler.reconcile(key.clone()).await.is_err());
    assert!(world.fabric.wanted().ports.is_empty());
    assert!(world.store.port(&spec.key).await.unwrap().is_some());
    assert_eq!(reason(&reconciler, &key), Some(Reason::Deleting));

    world.script.heal();
    let (_, mut changes) = reconciler.board.watch();
    world.script.calls();
    reconciler.reconcile(key.clone()).await.unwrap();
    assert_eq!(world.script.calls()[0], "fabric.remove_port port/s1/blue/p");
    assert!(world.store.port(&spec.key).await.unwrap().is_none());
    let mut last = None;
    while let Ok(change) = changes.try_recv() {
        last = Some(change.what);
    }
    assert_eq!(last, Some(Change::Deleted { key, version: spec.version }));
}

#[tokio::test]
async fn nothing_is_deleted_before_the_sco_provider_has_told_everything() {
    let world = World::new().await;
    put_network(&world.store).await;
    let spec = port("blue", "p");
    put_port(&world.store, &spec).await.unwrap();
    world.store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
    let reconciler = world.start();
    reconciler.load().await.unwrap();
    world.script.calls();
    reconciler.reconcile(Key::Port(spec.key.clone())).await.unwrap();
    assert!(world.script.calls().is_empty());
    assert!(world.store.port(&spec.key).await.unwrap().is_some());
}
