use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{
        Crossing, Endpoint, EndpointKey, Gate, Handoff, NetworkKey, RemoteEndpoint,
        WatchClusterResponse, watch_cluster_response::Change,
    },
};
use tonic::Code;

use crate::{
    attach,
    board::Fact,
    domain::{Key, Reason},
    examples::{name, network, network_key, port, put_network, put_port},
    fabric::datapath_id,
    reconcile::fakes::{Fault, World, run_until},
    store::PortCondition,
    watch::Carried,
};

fn handoff(node: &str) -> WatchClusterResponse {
    let network = NetworkKey { slice: "s1".to_owned(), name: "blue".to_owned() };
    let gate = Gate { node: node.to_owned(), clusters: vec!["b".to_owned()] };
    let handoff =
        Handoff { network: Some(network), vni: 1, epoch: 3, gates: vec![gate], other: None };
    let kind = ChangeKind::Put.into();
    WatchClusterResponse { kind, change: Some(Change::Handoff(handoff)), ..Default::default() }
}

fn endpoint(port: &str, mac: &str) -> WatchClusterResponse {
    let key = EndpointKey {
        slice: "s1".to_owned(),
        network: "blue".to_owned(),
        cluster: "b".to_owned(),
        port: port.to_owned(),
        learned_mac: String::new(),
    };
    let endpoint = Endpoint { key: Some(key), mac: mac.to_owned(), ..Endpoint::default() };
    let remote = RemoteEndpoint { endpoint: Some(endpoint), vni: 1 };
    let kind = ChangeKind::Put.into();
    WatchClusterResponse { kind, change: Some(Change::Endpoint(remote)), ..Default::default() }
}

fn synced() -> WatchClusterResponse {
    WatchClusterResponse { kind: ChangeKind::Synced.into(), ..Default::default() }
}

#[tokio::test]
async fn the_fabric_is_complete_with_the_store_and_the_first_synced_and_not_before() {
    let world = World::new().await;
    put_network(&world.store).await;
    put_port(&world.store, &port("blue", "p")).await.unwrap();
    let reconciler = world.start();
    reconciler.load().await.unwrap();
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    world.exchange.tell(handoff("n1")).await;
    world.exchange.tell(endpoint("web", "02:00:00:00:00:01")).await;
    run_until(&reconciler, || world.fabric.wanted().endpoints.len() == 1).await;
    assert!(!world.fabric.wanted().complete);

    world.exchange.tell(synced()).await;
    run_until(&reconciler, || reconciler.uplink.is_complete()).await;
    let wanted = world.fabric.wanted();
    assert!(wanted.complete);
    assert_eq!((wanted.switches.len(), wanted.slices.len(), wanted.networks.len()), (2, 1, 1));
    // The port and the handoff.
    assert_eq!(wanted.ports.len(), 2);
    let trunk = &wanted.ports[&"handoff/s1/blue/n1/3".into()];
    assert_eq!(trunk.switch, datapath_id(&name("a"), &name("n1")));
    watch.abort();
}

#[tokio::test]
async fn a_new_connection_replaces_what_the_former_told() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    world.exchange.tell(handoff("n1")).await;
    world.exchange.tell(endpoint("web", "02:00:00:00:00:01")).await;
    world.exchange.tell(endpoint("db", "02:00:00:00:00:02")).await;
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || world.fabric.wanted().endpoints.len() == 2).await;

    world.exchange.disconnect();
    world.exchange.connected.notified().await;
    world.script.calls();
    assert!(reconciler.uplink.fault().is_some());
    world.exchange.tell(handoff("n1")).await;
    world.exchange.tell(endpoint("web", "02:00:00:00:00:01")).await;
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || world.fabric.wanted().endpoints.len() == 1).await;
    run_until(&reconciler, || reconciler.uplink.fault().is_none()).await;
    // What was told again was left alone.
    let calls = world.script.calls();
    assert!(!calls.iter().any(|call| call.contains("fabric.put_endpoint")), "{calls:?}");
    assert!(!calls.iter().any(|call| call.contains("handoff")), "{calls:?}");
    watch.abort();
}

#[tokio::test]
async fn a_start_does_not_wait_for_a_sco_provider_that_has_said_everything_before() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start();
    reconciler.load().await.unwrap();
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    for (port, mac) in [("web", "02:00:00:00:00:01"), ("db", "02:00:00:00:00:02")] {
        world.exchange.tell(endpoint(port, mac)).await;
    }
    world.exchange.tell(handoff("n1")).await;
    run_until(&reconciler, || !world.fabric.wanted().ports.is_empty()).await;
    watch.abort();

    // Not everything yet.
    world.script.fail("exchange.watch_cluster", Fault::Refuse(Code::Unavailable));
    let reconciler = world.start();
    reconciler.load().await.unwrap();
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    run_until(&reconciler, || reconciler.uplink.fault().is_some()).await;
    assert!(!reconciler.uplink.is_complete());
    world.script.heal();
    world.exchange.connected.notified().await;
    world.exchange.tell(handoff("n2")).await;
    for (port, mac) in [("web", "02:00:00:00:00:01"), ("db", "02:00:00:00:00:02")] {
        world.exchange.tell(endpoint(port, mac)).await;
    }
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || reconciler.uplink.is_complete()).await;
    let before = world.fabric.wanted();
    watch.abort();

    world.script.fail("exchange.watch_cluster", Fault::Refuse(Code::Unavailable));
    let reconciler = world.start();
    reconciler.load().await.unwrap();
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    run_until(&reconciler, || reconciler.uplink.fault().is_some()).await;
    assert!(reconciler.uplink.is_complete());
    assert_eq!(world.fabric.wanted(), before);

    // What is gone meanwhile goes when it is back, and is not recalled again.
    world.script.heal();
    world.exchange.connected.notified().await;
    world.exchange.tell(endpoint("web", "02:00:00:00:00:01")).await;
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || world.fabric.wanted().endpoints.len() == 1).await;
    run_until(&reconciler, || world.fabric.wanted().ports.is_empty()).await;
    // It is kept by then, which is done beside it.
    run_until(&reconciler, || reconciler.uplink.fault().is_none()).await;
    assert_eq!(world.store.exchange_items().await.unwrap().unwrap().len(), 1);
    watch.abort();
}

/// Whether the fabric knows the network "blue".
fn knows_network(world: &World) -> bool {
    world.fabric.wanted().networks.contains_key(&1.try_into().unwrap())
}

fn handoff_gone() -> WatchClusterResponse {
    let network = NetworkKey { slice: "s1".to_owned(), name: "blue".to_owned() };
    let handoff = Handoff { network: Some(network), ..Handoff::default() };
    let kind = ChangeKind::Deleted.into();
    WatchClusterResponse { kind, change: Some(Change::Handoff(handoff)), ..Default::default() }
}

#[tokio::test]
async fn a_network_that_only_crosses_the_cluster_is_carried_for_as_long_as_it_does() {
    let world = World::new().await;
    put_network(&world.store).await;
    world.store.mark_network(&network_key("blue")).await.unwrap();
    let reconciler = world.start();
    reconciler.load().await.unwrap();
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    world.exchange.tell(handoff("n1")).await;
    world.exchange.tell(synced()).await;
    // It has no ports here any more, and stays for the others.
    let key = Key::Network(network_key("blue"));
    run_until(&reconciler, || reconciler.board.state(&key).is_none()).await;
    assert!(world.store.network(&network_key("blue")).await.unwrap().is_none());
    assert!(knows_network(&world));
    let trunk = "handoff/s1/blue/n1/3".into();
    assert!(world.fabric.wanted().ports.contains_key(&trunk));

    world.exchange.tell(handoff("n2")).await;
    run_until(&reconciler, || !world.fabric.wanted().ports.contains_key(&trunk)).await;
    run_until(&reconciler, || world.fabric.wanted().ports.len() == 1).await;
    assert!(knows_network(&world));
    world.exchange.tell(handoff_gone()).await;
    run_until(&reconciler, || !knows_network(&world)).await;
    assert!(world.fabric.wanted().ports.is_empty());
    watch.abort();
}

/// A handoff with the gate of `handoff` and another plan.
fn unsettled(node: &str, other: (u32, &str)) -> (WatchClusterResponse, Handoff) {
    let mut response = handoff(node);
    let Some(Change::Handoff(message)) = &mut response.change else { panic!("a handoff") };
    let gate = Gate { node: other.1.to_owned(), clusters: vec!["b".to_owned()] };
    message.other = Some(Crossing { epoch: other.0, gates: vec![gate] });
    let message = message.clone();
    (response, message)
}

#[tokio::test]
async fn a_handoff_of_two_plans_is_confirmed_when_frames_pass_the_trunks_of_both() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    let confirmed = || world.exchange.confirmed.lock().unwrap().clone();
    world.exchange.connected.notified().await;
    world.exchange.tell(handoff("n1")).await;
    let (response, message) = unsettled("n1", (4, "n2"));
    world.exchange.tell(response.clone()).await;
    run_until(&reconciler, || world.fabric.wanted().ports.len() == 2).await;
    let [old, new] = ["n1/3", "n2/4"].map(|trunk| format!("handoff/s1/blue/{trunk}").into());
    reconciler.trunks.set_ready(old, true);
    reconciler.trunks.set_ready(new, true);
    assert_eq!(confirmed(), [], "there may be more to come");
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || confirmed() == [message.clone()]).await;

    // Whoever asks anew is answered anew, and not before it is so.
    reconciler.trunks.set_ready("handoff/s1/blue/n2/4".into(), false);
    world.exchange.disconnect();
    world.exchange.connected.notified().await;
    world.exchange.tell(response).await;
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || reconciler.uplink.fault().is_none()).await;
    assert_eq!(confirmed().len(), 1);
    reconciler.trunks.set_ready("handoff/s1/blue/n2/4".into(), true);
    run_until(&reconciler, || confirmed().len() == 2).await;
    watch.abort();
}

#[tokio::test]
async fn trunks_of_the_next_plan_are_there_before_those_of_the_last_one_go() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    world.exchange.tell(unsettled("n1", (2, "n2")).0).await;
    run_until(&reconciler, || world.fabric.wanted().ports.len() == 2).await;
    world.script.calls();
    world.exchange.tell(unsettled("n2", (4, "n1")).0).await;
    run_until(&reconciler, || {
        !world.fabric.wanted().ports.contains_key(&"handoff/s1/blue/n2/2".into())
    })
    .await;
    let calls = world.script.calls();
    let trunks = calls.iter().filter(|call| call.contains("handoff/"));
    assert_eq!(
        trunks.collect::<Vec<_>>(),
        [
            "fabric.put_port handoff/s1/blue/n2/3",
            "fabric.put_port handoff/s1/blue/n1/4",
            "fabric.remove_port handoff/s1/blue/n1/3",
            "fabric.remove_port handoff/s1/blue/n2/2",
        ]
    );
    watch.abort();
}

#[tokio::test]
async fn a_network_that_leaves_the_cluster_no_more_stays_for_its_ports() {
    let world = World::new().await;
    put_network(&world.store).await;
    let reconciler = world.start_complete().await;
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    world.exchange.tell(handoff("n1")).await;
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || world.fabric.wanted().ports.len() == 1).await;
    world.exchange.tell(handoff_gone()).await;
    let key = network_key("blue");
    run_until(&reconciler, || reconciler.uplink.carried(&key) == Carried::default()).await;
    assert!(knows_network(&world));
    assert!(world.fabric.wanted().ports.is_empty());
    watch.abort();
}

#[tokio::test]
async fn ports_are_announced_and_withdrawn_when_the_sco_provider_is_back() {
    let world = World::new().await;
    put_network(&world.store).await;
    for port_name in ["new", "old"] {
        put_port(&world.store, &port("blue", port_name)).await.unwrap();
    }
    let (new, old) = (port("blue", "new").key, port("blue", "old").key);
    let reconciler = world.start_complete().await;
    reconciler.board.change_port(&old, |facts| facts.flows = Fact::Done(()));
    reconciler.reconcile(Key::Port(old.clone())).await.unwrap();
    assert!(world.exchange.endpoint("s1/blue/a/old").is_some());

    world.script.fail("exchange.watch_cluster", Fault::Refuse(Code::Unavailable));
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    run_until(&reconciler, || reconciler.uplink.fault().is_some()).await;
    world.store.mark_port(&old, &PortCondition::default()).await.unwrap();
    reconciler.board.change_port(&new, |facts| facts.flows = Fact::Done(()));
    let key = Key::Port(new.clone());
    for port in [new, old.clone()] {
        reconciler.reconcile(Key::Port(port)).await.unwrap();
    }
    let trouble = reconciler.board.state(&key).unwrap().condition.unwrap_err();
    assert_eq!(trouble.reason, Reason::NotAnnounced);
    assert!(trouble.message.contains("sco-provider"), "{}", trouble.message);
    // The flows do not wait for it.
    assert!(!world.fabric.wanted().ports.contains_key(&"port/s1/blue/old".into()));

    world.script.heal();
    world.exchange.connected.notified().await;
    world.exchange.tell(synced()).await;
    run_until(&reconciler, || {
        reconciler.board.state(&key).unwrap().condition.is_ok()
            && reconciler.board.state(&Key::Port(old.clone())).is_none()
    })
    .await;
    assert!(world.exchange.endpoint("s1/blue/a/new").is_some());
    assert!(world.exchange.endpoint("s1/blue/a/old").is_none());
    watch.abort();
}

#[tokio::test]
async fn blocks_are_leased_until_the_network_is_exhausted() {
    let world = World::new().await;
    put_network(&world.store).await;
    world.store.apply_network(&network("red", 2, "10.2.0.0/27")).await.unwrap();
    let blocks = ["10.2.0.0/29", "10.2.0.8/29", "10.2.0.16/29", "10.2.0.24/29"];
    world.exchange.offer(blocks.map(|block| block.parse().unwrap()));
    let specs: Vec<_> = (0..31).map(|number| port("red", &format!("p{number}"))).collect();
    let attached = futures::future::join_all(
        specs.iter().map(|spec| attach::apply_port(&world.store, world.exchange.as_ref(), spec)),
    )
    .await;
    let mut addresses: Vec<_> =
        attached.iter().flatten().map(|stored| stored.port.address.unwrap().addr()).collect();
    addresses.sort();
    let all: Vec<std::net::IpAddr> = (1..=30).map(|last| [10, 2, 0, last].into()).collect();
    assert_eq!(addresses, all);
    let refused = attached.into_iter().find_map(Result::err).unwrap();
    assert_eq!(tonic::Status::from(refused).code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn an_address_outside_our_blocks_is_ours_if_it_is_to_be_had() {
    let world = World::new().await;
    put_network(&world.store).await;
    world.store.apply_network(&network("red", 2, "10.2.0.0/24")).await.unwrap();
    world.exchange.offer(["10.2.0.0/28".parse().unwrap(), "10.2.0.70/32".parse().unwrap()]);
    let mut spec = port("red", "p");
    spec.address = Some([10, 2, 0, 70].into());
    let attach = async |spec| {
        let attached = attach::apply_port(&world.store, world.exchange.as_ref(), spec).await;
        attached.map(|stored| stored.port.address.unwrap().to_string())
    };
    assert_eq!(attach(&spec).await.unwrap(), "10.2.0.70/24");
    let mut elsewhere = port("red", "q");
    elsewhere.address = Some([10, 2, 0, 200].into());
    let refused = tonic::Status::from(attach(&elsewhere).await.unwrap_err());
    assert_eq!(refused.code(), Code::FailedPrecondition);

    // Nothing is made of a block that is no part of the network.
    world.store.apply_network(&network("green", 3, "10.3.0.0/24")).await.unwrap();
    world.exchange.offer(["10.9.0.0/28".parse().unwrap()]);
    let stray = port("green", "p");
    let refused = tonic::Status::from(attach(&stray).await.unwrap_err());
    assert_eq!(refused.code(), Code::Internal);
    assert!(world.store.port(&stray.key).await.unwrap().is_none());

    // Without the sco-provider the caller has to come again.
    world.script.fail("exchange.lease_block", Fault::Refuse(Code::Unavailable));
    let refused = tonic::Status::from(attach(&elsewhere).await.unwrap_err());
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(world.store.port(&elsewhere.key).await.unwrap().is_none());
}

#[tokio::test]
async fn an_address_that_was_leased_alone_is_given_back_with_its_port() {
    let world = World::new().await;
    put_network(&world.store).await;
    world.store.apply_network(&network("red", 2, "10.2.0.0/24")).await.unwrap();
    let single = "10.2.0.11/32".parse().unwrap();
    world.exchange.offer([single]);
    let mut spec = port("red", "p");
    spec.address = Some([10, 2, 0, 11].into());
    let exchange = world.exchange.as_ref();
    attach::apply_port(&world.store, exchange, &spec).await.unwrap();
    let reconciler = world.start_complete().await;
    let key = Key::Port(spec.key.clone());
    reconciler.board.change_port(&spec.key, |facts| facts.flows = Fact::Done(()));
    reconciler.reconcile(key.clone()).await.unwrap();
    assert!(world.exchange.endpoint("s1/red/a/p").is_some());

    world.store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
    world.script.fail("exchange.release_block", Fault::Refuse(Code::Unavailable));
    assert!(reconciler.reconcile(key.clone()).await.is_err());
    assert!(world.store.port(&spec.key).await.unwrap().is_some(), "it keeps the address from ours");
    world.script.heal();
    world.script.calls();
    reconciler.reconcile(key).await.unwrap();
    assert_eq!(world.script.calls().last().unwrap(), "exchange.release_block 10.2.0.11/32");
    assert!(world.store.port(&spec.key).await.unwrap().is_none());

    world.exchange.lease_to_another(single);
    let refused = attach::apply_port(&world.store, exchange, &spec).await.unwrap_err();
    assert_eq!(tonic::Status::from(refused).code(), Code::FailedPrecondition);

    // A port with an address of a larger block gives nothing back.
    let of_whole = port("blue", "p");
    put_port(&world.store, &of_whole).await.unwrap();
    world.store.mark_port(&of_whole.key, &PortCondition::default()).await.unwrap();
    world.script.calls();
    reconciler.reconcile(Key::Port(of_whole.key)).await.unwrap();
    let calls = world.script.calls();
    assert!(!calls.iter().any(|call| call.contains("release_block")), "{calls:?}");
}
