//! What the engine learns is kept, passed on and taken back.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_controller::Place;
use l2sces_model::MacAddress;
use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{
        Endpoint, EndpointKey, RemoteEndpoint, WatchClusterResponse, watch_cluster_response::Change,
    },
};
use tonic::Code;

use crate::{
    domain::{Key, PortKey},
    examples::{port, put_network, put_port},
    reconcile::{
        Reconciler,
        fakes::{Fault, World, run_until},
    },
    store::PortCondition,
};

const ONE: MacAddress = MacAddress::new([2, 0, 0, 0, 1, 1]);
const TWO: MacAddress = MacAddress::new([2, 0, 0, 0, 1, 2]);

fn key(name: &str) -> PortKey {
    port("blue", name).key
}

/// A network with a port `p` behind which addresses may be learned.
async fn world() -> World {
    let world = World::new().await;
    put_network(&world.store).await;
    let mut spec = port("blue", "p");
    spec.max_learned = 8;
    put_port(&world.store, &spec).await.unwrap();
    world
}

/// The controller starts, and all that the sco-provider knows is known.
async fn start(world: &World) -> Reconciler {
    let reconciler = world.start_complete().await;
    reconciler.uplink.set_fault(None);
    reconciler
}

/// The engine says what is behind a port.
fn see(reconciler: &Reconciler, port: &str, macs: &[MacAddress]) {
    let learned = macs.iter().copied().collect();
    reconciler.board.set_addresses(&key(port), learned, &BTreeMap::new());
    reconciler.queue.wake(Key::Port(key(port)));
}

fn announced(world: &World, port: &str, mac: MacAddress) -> bool {
    let endpoint = world.exchange.endpoint(&format!("s1/blue/a/{port}/{mac}"));
    endpoint.is_some_and(|endpoint| endpoint.mac == mac.to_string() && endpoint.address.is_empty())
}

async fn kept(world: &World, announced: bool) -> BTreeSet<MacAddress> {
    world.store.learned_macs(announced).await.unwrap().remove(&key("p")).unwrap_or_default()
}

fn exchange_calls(world: &World) -> Vec<String> {
    let calls = world.script.calls().into_iter();
    calls.filter(|call| call.starts_with("exchange.")).collect()
}

#[tokio::test]
async fn what_is_learned_is_announced_once_and_withdrawn_when_it_is_forgotten() {
    let world = world().await;
    let reconciler = start(&world).await;
    see(&reconciler, "p", &[ONE, TWO]);
    run_until(&reconciler, || announced(&world, "p", ONE) && announced(&world, "p", TWO)).await;
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert_eq!(kept(&world, true).await, BTreeSet::from([ONE, TWO]));
    world.script.calls();
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert_eq!(exchange_calls(&world), Vec::<String>::new());

    see(&reconciler, "p", &[TWO]);
    run_until(&reconciler, || !announced(&world, "p", ONE)).await;
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert_eq!(world.store.all_macs(&key("p")).await.unwrap(), [TWO]);
    assert!(announced(&world, "p", TWO));
}

#[tokio::test]
async fn nothing_is_announced_before_it_is_known_what_others_have_learned() {
    let world = world().await;
    let reconciler = world.start_complete().await;
    see(&reconciler, "p", &[ONE]);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert!(!announced(&world, "p", ONE));
    assert_eq!(kept(&world, false).await, BTreeSet::from([ONE]));
    reconciler.uplink.set_fault(None);
    assert!(reconciler.board.unannounced_ports().contains(&key("p")), "it is woken then");
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert!(announced(&world, "p", ONE));

    reconciler.uplink.set_fault(Some("away".to_owned()));
    see(&reconciler, "p", &[]);
    world.script.calls();
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert_eq!(exchange_calls(&world), Vec::<String>::new());
    reconciler.uplink.set_fault(None);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert!(!announced(&world, "p", ONE));
}

#[tokio::test]
async fn an_address_that_is_refused_is_tried_again_until_it_is_forgotten() {
    let world = world().await;
    let reconciler = start(&world).await;
    world.script.fail("exchange.apply_endpoint", Fault::Refuse(Code::AlreadyExists));
    see(&reconciler, "p", &[ONE, TWO]);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap_err();
    let calls = exchange_calls(&world);
    assert_eq!(calls.len(), 2, "neither waits for the other: {calls:?}");
    assert_eq!(kept(&world, false).await, BTreeSet::from([ONE, TWO]));
    world.script.heal();
    // The watch has told the engine of the other by now.
    see(&reconciler, "p", &[TWO]);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert!(announced(&world, "p", TWO) && !announced(&world, "p", ONE));
    assert_eq!(world.store.all_macs(&key("p")).await.unwrap(), [TWO]);
}

#[tokio::test]
async fn a_restart_loses_nothing_and_leaves_nothing_behind() {
    let world = world().await;
    let three = MacAddress::new([2, 0, 0, 0, 1, 3]);
    let reconciler = start(&world).await;
    see(&reconciler, "p", &[ONE, TWO]);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    // The process dies when it has forgotten one and learned another, and told nobody.
    reconciler.uplink.set_fault(Some("away".to_owned()));
    see(&reconciler, "p", &[TWO, three]);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    drop(reconciler);

    let reconciler = world.start();
    reconciler.load().await.unwrap();
    let id = "port/s1/blue/p".into();
    assert_eq!(world.fabric.wanted().learned[&id], BTreeSet::from([TWO]));
    // Nobody is shown less meanwhile.
    let shown = reconciler.board.state(&Key::Port(key("p"))).unwrap().assignment.unwrap();
    assert_eq!(shown.addresses.learned, BTreeSet::from([TWO, three]));
    world.script.calls();
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    let kind = ChangeKind::Synced.into();
    world.exchange.tell(WatchClusterResponse { kind, ..Default::default() }).await;
    run_until(&reconciler, || world.fabric.wanted().complete).await;
    assert_eq!(world.fabric.wanted().learned[&id], BTreeSet::from([TWO, three]));
    let calls = world.script.calls();
    let at = |text: &str| calls.iter().position(|call| call.starts_with(text)).unwrap();
    assert!(at("fabric.put_learned") < at("fabric.set_complete"), "{calls:?}");

    see(&reconciler, "p", &[TWO, three]);
    run_until(&reconciler, || announced(&world, "p", three) && !announced(&world, "p", ONE)).await;
    assert!(announced(&world, "p", TWO));
    watch.abort();
}

#[tokio::test]
async fn a_port_that_goes_takes_along_what_was_learned_behind_it() {
    let world = world().await;
    let reconciler = start(&world).await;
    see(&reconciler, "p", &[ONE, TWO]);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    world.store.mark_port(&key("p"), &PortCondition::default()).await.unwrap();
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    assert!(!announced(&world, "p", ONE) && !announced(&world, "p", TWO));
    assert_eq!(world.store.port(&key("p")).await.unwrap(), None);
}

/// An address of the network is in another cluster.
fn elsewhere(mac: MacAddress) -> WatchClusterResponse {
    let key = EndpointKey {
        slice: "s1".to_owned(),
        network: "blue".to_owned(),
        cluster: "b".to_owned(),
        port: "q".to_owned(),
        learned_mac: mac.to_string(),
    };
    let endpoint = Endpoint { key: Some(key), mac: mac.to_string(), ..Endpoint::default() };
    let remote = RemoteEndpoint { endpoint: Some(endpoint), vni: 1 };
    WatchClusterResponse {
        kind: ChangeKind::Put.into(),
        change: Some(Change::Endpoint(remote)),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_address_that_comes_back_is_announced_anew_though_the_engine_told_of_no_more() {
    let world = world().await;
    let reconciler = world.start_complete().await;
    let watch = tokio::spawn(world.exchange_watch(&reconciler).run());
    world.exchange.connected.notified().await;
    let kind = ChangeKind::Synced.into();
    world.exchange.tell(WatchClusterResponse { kind, ..Default::default() }).await;
    run_until(&reconciler, || reconciler.uplink.follows()).await;
    see(&reconciler, "p", &[ONE]);
    run_until(&reconciler, || announced(&world, "p", ONE)).await;
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();

    world.exchange.tell(elsewhere(ONE)).await;
    run_until(&reconciler, || world.fabric.wanted().endpoints.len() == 1).await;
    // Of what it has seen meanwhile, the engine tells the last only.
    see(&reconciler, "p", &[ONE]);
    world.script.calls();
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    let calls = exchange_calls(&world);
    assert!(calls.contains(&format!("exchange.apply_endpoint s1/blue/a/p/{ONE}")), "{calls:?}");
    watch.abort();
}

#[tokio::test]
async fn an_address_that_two_ports_told_of_in_the_wrong_order_is_the_last_ones() {
    let world = world().await;
    put_port(&world.store, &port("blue", "q")).await.unwrap();
    let reconciler = start(&world).await;
    see(&reconciler, "q", &[ONE]);
    reconciler.reconcile(Key::Port(key("q"))).await.unwrap();
    see(&reconciler, "p", &[ONE]);
    reconciler.reconcile(Key::Port(key("p"))).await.unwrap();
    // What q says last comes last: that it is its own, and then that it is not.
    see(&reconciler, "q", &[]);
    world.script.calls();
    run_until(&reconciler, || !announced(&world, "q", ONE)).await;
    // Whatever the workers were at when they were stopped.
    for port in ["q", "p"] {
        reconciler.reconcile(Key::Port(key(port))).await.unwrap();
    }
    let calls = exchange_calls(&world);
    let [withdrawn, anew] = [("delete", "q"), ("apply", "p")]
        .map(|(verb, port)| format!("exchange.{verb}_endpoint s1/blue/a/{port}/{ONE}"));
    let last = |wanted: &String| calls.iter().rposition(|call| call == wanted);
    assert!(last(&withdrawn).is_some() && last(&withdrawn) < last(&anew), "{calls:?}");
}

#[tokio::test]
async fn a_conflict_is_told_with_both_places() {
    let world = world().await;
    put_port(&world.store, &port("blue", "q")).await.unwrap();
    let reconciler = start(&world).await;
    let conflicts = BTreeMap::from([
        (ONE, Place::Port("port/s1/blue/q".into())),
        (TWO, Place::Region("b".parse().unwrap())),
    ]);
    reconciler.board.set_addresses(&key("p"), BTreeSet::new(), &conflicts);
    let state = reconciler.board.state(&Key::Port(key("p"))).unwrap();
    let told = state.assignment.unwrap().addresses.conflicts;
    let here = "frames from it come at port s1/blue/p on node n1 too";
    assert_eq!(told[&ONE], format!("{ONE} is at port s1/blue/q on node n1, and {here}"));
    assert_eq!(told[&TWO], format!("{TWO} is in cluster b, and {here}"));
}
