//! How networks go over from one plan to the next, and what slices have lost meanwhile.

use std::time::Duration;

use l2sces_controller::Event;
use sco_provider::{
    domain::{
        GatewayKey, Key, ObjectKey,
        plan::{Stage, Succession},
    },
    exchange::{Item, ItemKey},
    reconcile::Pace,
    store::Deletion,
};

use crate::support::{
    Process, World, eventually, gateway, gateway_key, link, name, network, network_key, slice,
    version,
};

/// Long enough for a test that must not wait for it.
const LONG: Duration = Duration::from_secs(600);
/// Nothing is gone over to because nobody answers.
const PATIENT: Pace = Pace { patience: LONG, suspense: LONG, linger: Duration::ZERO };

const GATEWAYS: [(&str, &str); 3] =
    [("a/a1", "192.0.2.11"), ("a/a2", "192.0.2.12"), ("b/b1", "192.0.2.21")];
const LINKS: [(&str, &str); 2] = [("a/a1", "b/b1"), ("a/a2", "b/b1")];

/// A slice of clusters a and b with these gateways, in the order of preference, and links between
/// those that they join.
async fn apply_slice(process: &Process, generation: i64, gateways: &[&str]) {
    let mut slice = slice("s", &["a", "b"], gateways);
    let links = LINKS.iter().filter(|(a, _)| gateways.contains(a));
    slice.links = links.map(|(a, b)| link(a, b, 1)).collect();
    slice.version = version("u", generation);
    process.apply_slice(&slice).await;
}

/// A network that crosses from a/a1 to b/b1.
async fn furnish(process: &Process) {
    for (key, address) in GATEWAYS {
        process.apply_gateway(&gateway(key, address)).await;
        process.observe(Event::SwitchReady(gateway_key(key).datapath_id()));
    }
    apply_slice(process, 1, &["a/a1", "a/a2", "b/b1"]).await;
    process.apply_network(&network("s/n", &["a", "b"], "")).await;
    all_links_seen(process).await;
    eventually("it is planned for this", async || {
        let stored = process.store.network(&network_key("s/n")).await.unwrap().unwrap();
        stored.planned_for == Some(1) && opened(process) == ["a/a1/1", "b/b1/1"]
    })
    .await;
}

/// The links that the engine knows by now have been looked at.
async fn all_links_seen(process: &Process) {
    eventually("the slice is known", async || {
        process.fabric.state.lock().unwrap().slices.contains_key(&name("s"))
    })
    .await;
    let looks = process.fabric.state.lock().unwrap().looks;
    eventually("links are looked at", async || {
        process.observe(Event::LinksChanged);
        process.fabric.state.lock().unwrap().looks > looks + 1
    })
    .await;
}

async fn plans(process: &Process) -> Succession {
    process.store.network(&network_key("s/n")).await.unwrap().unwrap().plans
}

async fn reaches(process: &Process, stage: Stage) {
    let what = format!("{stage:?}");
    eventually(&what, async || plans(process).await.stage() == stage).await;
}

/// The gates that the engine was told of: gateway and epoch.
fn opened(process: &Process) -> Vec<String> {
    let state = process.fabric.state.lock().unwrap();
    let gates = state.ports.keys().filter_map(|id| id.as_str().strip_prefix("gate/s/n/"));
    gates.map(ToOwned::to_owned).collect()
}

/// What a cluster was told: the gateways of the current plan and of the other one.
fn told(process: &Process, cluster: &str) -> [Vec<String>; 2] {
    let key = ItemKey::Handoff { network: network_key("s/n"), cluster: name(cluster) };
    let Some(Item::Handoff { current, other, .. }) =
        process.exchange.get(&key).map(|notice| notice.item.clone())
    else {
        return Default::default();
    };
    [Some(current), other].map(|crossing| {
        crossing.into_iter().flat_map(|of| of.gates.into_keys()).map(|it| it.to_string()).collect()
    })
}

/// A cluster says that its switches follow what it was told.
fn confirm(process: &Process, cluster: &str) {
    let (network, cluster) = (network_key("s/n"), name(cluster));
    let key = ItemKey::Handoff { network: network.clone(), cluster: cluster.clone() };
    let handoff = process.exchange.get(&key).unwrap();
    process.confirmations.note(&network, &cluster, handoff);
    process.queues.wake(Key::Network(network));
}

/// The network has been looked at since: a run that began after this was called has ended when the
/// next one begins.
async fn looked_at(process: &Process) {
    let puts = || process.fabric.state.lock().unwrap().network_puts;
    let before = puts();
    eventually("the network is looked at", async || {
        process.queues.wake(Key::Network(network_key("s/n")));
        puts() > before + 2
    })
    .await;
}

#[tokio::test]
async fn a_network_goes_over_when_all_clusters_have_followed_though_the_process_restarts() {
    let world = World::new().await;
    let process = world.start_with(LONG, PATIENT).await;
    furnish(&process).await;
    apply_slice(&process, 2, &["a/a2", "a/a1", "b/b1"]).await;
    let both = ["a/a1/1", "a/a2/2", "b/b1/1", "b/b1/2"];
    eventually("both are open", async || opened(&process) == both).await;
    eventually("a is told", async || told(&process, "a") == [["a1"], ["a2"]]).await;
    assert_eq!(plans(&process).await.stage(), Stage::Preparing);
    confirm(&process, "a");
    drop(process);

    // Who has confirmed is asked again.
    let process = world.start_with(LONG, PATIENT).await;
    eventually("both are open", async || opened(&process) == both).await;
    eventually("a is told again", async || told(&process, "a") == [["a1"], ["a2"]]).await;
    confirm(&process, "a");
    looked_at(&process).await;
    assert_eq!(plans(&process).await.stage(), Stage::Preparing);
    confirm(&process, "b");
    reaches(&process, Stage::Leaving).await;
    eventually("frames turn", async || told(&process, "a") == [["a2"], ["a1"]]).await;
    assert_eq!(opened(&process), both, "the last frames of the former plan arrive");
    drop(process);

    let process = world.start_with(LONG, PATIENT).await;
    eventually("both are open", async || opened(&process) == both).await;
    eventually("a is told again", async || told(&process, "a") == [["a2"], ["a1"]]).await;
    confirm(&process, "b");
    looked_at(&process).await;
    assert_eq!(plans(&process).await.stage(), Stage::Leaving);
    confirm(&process, "a");
    reaches(&process, Stage::Settled).await;
    eventually("one is left", async || opened(&process) == ["a/a2/2", "b/b1/2"]).await;
    eventually("a is told", async || told(&process, "a") == [vec!["a2"], vec![]]).await;
}

#[tokio::test]
async fn clusters_that_do_not_answer_are_not_waited_for_for_ever() {
    let world = World::new().await;
    let process = world.start().await;
    furnish(&process).await;
    apply_slice(&process, 2, &["a/a2", "a/a1", "b/b1"]).await;
    eventually("it has gone over", async || opened(&process) == ["a/a2/2", "b/b1/2"]).await;
    assert_eq!(plans(&process).await.stage(), Stage::Settled);
}

#[tokio::test]
async fn a_plan_that_fails_is_left_at_once() {
    let world = World::new().await;
    let process = world.start_with(LONG, PATIENT).await;
    furnish(&process).await;
    apply_slice(&process, 2, &["a/a2", "a/a1", "b/b1"]).await;
    reaches(&process, Stage::Preparing).await;
    let ends = (gateway_key("a/a1").datapath_id(), gateway_key("b/b1").datapath_id());
    process.fabric.state.lock().unwrap().cut.insert(ends);
    process.observe(Event::LinksChanged);
    reaches(&process, Stage::Leaving).await;
    eventually("frames turn", async || told(&process, "a") == [["a2"], ["a1"]]).await;
    // And again, though the one before has not been left yet.
    let others = (gateway_key("a/a2").datapath_id(), ends.1);
    process.fabric.state.lock().unwrap().cut = [others].into();
    process.observe(Event::LinksChanged);
    eventually("frames turn back", async || told(&process, "a") == [["a1"], ["a2"]]).await;
    assert_eq!(opened(&process), ["a/a1/3", "a/a2/2", "b/b1/2", "b/b1/3"]);
}

/// Whether the engine has a gateway in the slice, and how many links.
fn in_slice(process: &Process, gateway: &GatewayKey) -> (bool, usize) {
    let state = process.fabric.state.lock().unwrap();
    let slice = &state.slices[&name("s")];
    (slice.switches.contains(&gateway.datapath_id()), slice.links.len())
}

#[tokio::test]
async fn what_a_slice_has_lost_stays_until_no_network_goes_by_it() {
    let world = World::new().await;
    let process = world.start_with(LONG, PATIENT).await;
    furnish(&process).await;
    let lost = gateway_key("a/a1");
    let tunnels = |key: &str| world.agents.tunnels(&gateway(key, "192.0.2.1").agent_endpoint);
    apply_slice(&process, 2, &["a/a2", "b/b1"]).await;
    reaches(&process, Stage::Preparing).await;
    assert_eq!(in_slice(&process, &lost), (true, 2));
    assert!(process.store.delete_gateway(&lost).await.is_err());
    drop(process);

    let process = world.start_with(LONG, PATIENT).await;
    for (key, _) in GATEWAYS {
        process.observe(Event::SwitchReady(gateway_key(key).datapath_id()));
    }
    all_links_seen(&process).await;
    assert_eq!(in_slice(&process, &lost), (true, 2));
    for stage in [Stage::Leaving, Stage::Settled] {
        eventually("told", async || told(&process, "a")[1].len() == 1).await;
        for cluster in ["a", "b"] {
            confirm(&process, cluster);
        }
        reaches(&process, stage).await;
        eventually("it is told", async || told(&process, "a")[0] == ["a2"]).await;
    }
    eventually("the engine has lost it", async || in_slice(&process, &lost) == (false, 1)).await;
    eventually("and so have the agents", async || {
        tunnels("a/a1") == Some(vec![]) && tunnels("b/b1").is_some_and(|ends| ends.len() == 1)
    })
    .await;
    let deletion = process.store.delete_gateway(&lost).await.unwrap();
    assert_eq!(deletion, Deletion::Underway);
}

#[tokio::test]
async fn a_gateway_by_which_frames_only_pass_stays_until_there_is_another_way() {
    let world = World::new().await;
    let process = world.start_with(LONG, PATIENT).await;
    let gateways = [("a/a1", "192.0.2.11"), ("b/b1", "192.0.2.21"), ("c/c1", "192.0.2.31")];
    for (key, address) in gateways {
        process.apply_gateway(&gateway(key, address)).await;
        process.observe(Event::SwitchReady(gateway_key(key).datapath_id()));
    }
    let clusters = ["a", "b", "c"];
    let mut slice = slice("s", &clusters, &["a/a1", "b/b1", "c/c1"]);
    slice.links = vec![link("a/a1", "b/b1", 1), link("b/b1", "c/c1", 1)];
    process.apply_slice(&slice).await;
    process.apply_network(&network("s/n", &["a", "c"], "")).await;
    all_links_seen(&process).await;
    let planned_for =
        async || process.store.network(&network_key("s/n")).await.unwrap().unwrap().planned_for;
    eventually("it is planned for this", async || planned_for().await == Some(1)).await;
    let are_gates = async || opened(&process) == ["a/a1/1", "c/c1/1"];
    eventually("the others are gates, and b/b1 is none", are_gates).await;

    let ends = ("a/a1", "c/c1");
    let direction = (gateway_key(ends.0).datapath_id(), gateway_key(ends.1).datapath_id());
    process.fabric.state.lock().unwrap().cut.insert(direction);
    slice.gateways.retain(|key| *key != gateway_key("b/b1"));
    slice.links = vec![link(ends.0, ends.1, 1)];
    slice.version = version("u", 2);
    process.apply_slice(&slice).await;
    let passed = gateway_key("b/b1");
    eventually("the slice has changed", async || in_slice(&process, &passed).1 != 2).await;
    looked_at(&process).await;
    assert_eq!(in_slice(&process, &passed), (true, 3));
    process.fabric.state.lock().unwrap().cut.clear();
    process.observe(Event::LinksChanged);
    eventually("it is left", async || in_slice(&process, &passed) == (false, 1)).await;
    assert_eq!(opened(&process), ["a/a1/1", "c/c1/1"]);
}

/// A slice that is leaving a gateway is gone before its networks have left it.
async fn delete_slice_that_is_leaving_a_gateway(process: &Process) {
    apply_slice(process, 2, &["a/a2", "b/b1"]).await;
    reaches(process, Stage::Preparing).await;
    // Nobody is woken in between.
    process.store.delete_network(&network_key("s/n")).await.unwrap();
    process.store.forget_network(&network_key("s/n")).await.unwrap();
    process.store.delete_slice(&name("s")).await.unwrap();
    process.queues.wake(Key::Slice(name("s")));
    eventually("the slice is gone", async || {
        process.store.slice(&name("s")).await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn a_slice_is_gone_when_the_tunnels_of_gateways_that_it_was_leaving_are() {
    let world = World::new().await;
    let process = world.start_with(LONG, PATIENT).await;
    furnish(&process).await;
    let tunnels = |key: &str| world.agents.tunnels(&gateway(key, "192.0.2.1").agent_endpoint);
    eventually("a tunnel", async || tunnels("a/a1").is_some_and(|ends| !ends.is_empty())).await;
    delete_slice_that_is_leaving_a_gateway(&process).await;
    for (key, _) in GATEWAYS {
        assert_eq!(tunnels(key), Some(vec![]), "{key}");
    }
}

#[tokio::test]
async fn what_is_new_is_not_gone_over_to_before_it_is_known_to_work() {
    let world = World::new().await;
    let process = world.start_with(LONG, PATIENT).await;
    for (key, address) in GATEWAYS {
        process.apply_gateway(&gateway(key, address)).await;
        process.observe(Event::SwitchReady(gateway_key(key).datapath_id()));
    }
    apply_slice(&process, 1, &["a/a1", "b/b1"]).await;
    process.apply_network(&network("s/n", &["a", "b"], "")).await;
    all_links_seen(&process).await;
    eventually("gates", async || opened(&process) == ["a/a1/1", "b/b1/1"]).await;
    let key = ObjectKey::Slice(name("s"));
    let ends = (gateway_key("a/a2").datapath_id(), gateway_key("b/b1").datapath_id());
    process.fabric.state.lock().unwrap().cut.insert(ends);
    apply_slice(&process, 2, &["a/a2", "b/b1"]).await;
    eventually("it was looked at", async || {
        process.status.board().get(&key).unwrap().version.generation == 2
    })
    .await;
    // A network that comes later has nothing to lose.
    process.apply_network(&network("s/m", &["a", "b"], "")).await;
    eventually("another has gates", async || {
        let state = process.fabric.state.lock().unwrap();
        state.ports.keys().any(|id| id.as_str().starts_with("gate/s/m/a/a2"))
    })
    .await;
    looked_at(&process).await;
    assert_eq!(opened(&process), ["a/a1/1", "b/b1/1"]);
    assert_eq!(plans(&process).await.stage(), Stage::Settled);
    process.fabric.state.lock().unwrap().cut.clear();
    process.observe(Event::LinksChanged);
    reaches(&process, Stage::Preparing).await;
}
