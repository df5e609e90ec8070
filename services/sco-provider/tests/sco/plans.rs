//! How networks cross clusters: plans that survive the process, and follow what works.

use std::{collections::BTreeMap, time::Duration};

use l2sces_controller::{Event, PortRole};
use l2sces_model::Name;
use sco_provider::{
    domain::{Key, ObjectKey, plan::Plan},
    exchange::{Item, ItemKey},
};

use crate::support::{
    Process, World, endpoint, endpoint_key, eventually, gateway, gateway_key, link, name, names,
    network, network_key, slice, version,
};

/// Two gateways in every cluster; the order of preference is that of their names.
const GATEWAYS: [(&str, &str); 6] = [
    ("a/a1", "192.0.2.11"),
    ("a/a2", "192.0.2.12"),
    ("b/b1", "192.0.2.21"),
    ("b/b2", "192.0.2.22"),
    ("c/c1", "192.0.2.31"),
    ("c/c2", "192.0.2.32"),
];

/// A slice of clusters a, b and c, with gateways and links that may have a cost.
async fn furnish(process: &Process, gateways: &[&str], links: &[(&str, &str)]) {
    for (key, address) in GATEWAYS {
        process.apply_gateway(&gateway(key, address)).await;
    }
    let mut slice = slice("s", &["a", "b", "c"], gateways);
    slice.links = links.iter().map(|(a, b)| link(a, b, 1)).collect();
    process.apply_slice(&slice).await;
}

async fn stored(process: &Process, key: &str) -> Option<Plan> {
    let stored = process.store.network(&network_key(key)).await.unwrap()?;
    stored.planned_for.map(|_| stored.plans.latest().clone())
}

/// What the engine was told of the gates of a network: `a/a1:1` for gateway a/a1 in segment 1.
fn opened(process: &Process, key: &str) -> Vec<String> {
    let state = process.fabric.state.lock().unwrap();
    let prefix = format!("gate/{key}/");
    let own = state.ports.iter().filter_map(|(id, port)| {
        let (gateway, _) = id.as_str().strip_prefix(&prefix)?.rsplit_once('/')?;
        let PortRole::Trunk { segment, .. } = &port.role else { return None };
        Some(format!("{gateway}:{segment}"))
    });
    own.collect()
}

fn epoch(process: &Process, key: &str) -> Vec<u8> {
    let state = process.fabric.state.lock().unwrap();
    let prefix = format!("gate/{key}/");
    let own = state.ports.iter().filter(|(id, _)| id.as_str().starts_with(&prefix));
    own.filter_map(|(_, port)| match &port.role {
        PortRole::Trunk { epoch, .. } => Some(epoch.get()),
        PortRole::Access { .. } => None,
    })
    .collect()
}

/// What a cluster was told of the gates of a network: the nodes, and where they lead.
fn told(process: &Process, key: &str, cluster: &str) -> BTreeMap<Name, Vec<String>> {
    let key = ItemKey::Handoff { network: network_key(key), cluster: name(cluster) };
    match process.exchange.get(&key).map(|notice| notice.item.clone()) {
        Some(Item::Handoff { current, .. }) => current
            .gates
            .into_iter()
            .map(|(node, clusters)| (node, clusters.iter().map(ToString::to_string).collect()))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn gates(gates: &[(&str, &[&str])]) -> BTreeMap<Name, Vec<String>> {
    let list = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    gates.iter().map(|(node, clusters)| (name(node), list(clusters))).collect()
}

fn all_ready(process: &Process) {
    for (key, _) in GATEWAYS {
        process.observe(Event::SwitchReady(gateway_key(key).datapath_id()));
    }
}

fn down(process: &Process, key: &str) {
    let id = gateway_key(key).datapath_id();
    process.observe(Event::SwitchDown { id, reason: "the connection was closed".to_owned() });
}

/// Cuts a link, or heals it, and says so.
fn cut(process: &Process, a: &str, b: &str, cut: bool) {
    let ends = (gateway_key(a).datapath_id(), gateway_key(b).datapath_id());
    {
        let mut state = process.fabric.state.lock().unwrap();
        if cut {
            state.cut.insert(ends)
        } else {
            state.cut.remove(&ends)
        };
    }
    process.observe(Event::LinksChanged);
}

#[tokio::test]
async fn a_network_crosses_a_cluster_that_has_no_port_of_it() {
    let world = World::new().await;
    let process = world.start().await;
    let used = ["a/a1", "b/b1", "b/b2", "c/c1"];
    furnish(&process, &used, &[("a/a1", "b/b1"), ("b/b2", "c/c1")]).await;
    process.apply_network(&network("s/n", &["a", "c"], "")).await;
    process.apply_endpoint(&endpoint("s/n/a/p", 1, "")).await;
    eventually("gates", async || {
        opened(&process, "s/n") == ["a/a1:1", "b/b1:1", "b/b2:2", "c/c1:2"]
            && told(&process, "s/n", "a") == gates(&[("a1", &["c"])])
            && told(&process, "s/n", "b") == gates(&[("b1", &["a"]), ("b2", &["c"])])
            && told(&process, "s/n", "c") == gates(&[("c1", &["a"])])
    })
    .await;
    // Who carries frames must know where they go.
    eventually("endpoints", async || {
        let notice = process.exchange.get(&ItemKey::Endpoint(endpoint_key("s/n/a/p")));
        notice.is_some_and(|notice| notice.audience == names(&["b", "c"]))
    })
    .await;
    {
        let state = process.fabric.state.lock().unwrap();
        assert_eq!(state.endpoints.values().next().unwrap().region, name("a"));
        let PortRole::Trunk { regions, .. } = &state.ports[&"gate/s/n/b/b1/1".into()].role else {
            panic!("a trunk");
        };
        assert_eq!(regions.iter().collect::<Vec<_>>(), [&name("c")]);
    }

    process.delete_endpoint(&endpoint_key("s/n/a/p")).await;
    eventually("the network is gone", async || {
        process.queues.wake(Key::Network(network_key("s/n")));
        let deletion = process.store.delete_network(&network_key("s/n")).await;
        deletion.is_ok_and(|deletion| deletion == sco_provider::store::Deletion::Gone)
    })
    .await;
    assert_eq!(opened(&process, "s/n"), Vec::<String>::new());
    assert_eq!(process.exchange.watch().0, []);
}

#[tokio::test]
async fn a_restart_goes_on_with_the_same_plan_though_nothing_is_heard_yet() {
    let world = World::new().await;
    let grace = Duration::from_millis(50);
    let process = world.start_with_grace(grace).await;
    furnish(&process, &["a/a1", "a/a2", "b/b1"], &[("a/a1", "b/b1"), ("a/a2", "b/b1")]).await;
    all_ready(&process);
    process.apply_network(&network("s/n", &["a", "b"], "")).await;
    eventually("gates", async || opened(&process, "s/n") == ["a/a1:1", "b/b1:1"]).await;
    down(&process, "a/a1");
    eventually("it has moved", async || opened(&process, "s/n") == ["a/a2:1", "b/b1:1"]).await;
    assert_eq!(epoch(&process, "s/n"), [2, 2]);
    let plan = stored(&process, "s/n").await.unwrap();
    drop(process);

    // a1 is back, and a2 is the last to connect: nobody moves.
    let process = world.start().await;
    process.observe(Event::SwitchReady(gateway_key("a/a1").datapath_id()));
    eventually("gates again", async || opened(&process, "s/n") == ["a/a2:1", "b/b1:1"]).await;
    let key = ObjectKey::Network(network_key("s/n"));
    for gateway in ["a/a2", "b/b1"] {
        let id = network_key("s/n").gate_port(&gateway_key(gateway), plan.epoch());
        process.observe(Event::PortState { id, ready: true, message: String::new() });
    }
    eventually("a worker has been there", async || process.reason(&key) == Some("")).await;
    assert_eq!(stored(&process, "s/n").await.unwrap(), plan);
    assert_eq!(epoch(&process, "s/n"), [2, 2]);
    assert_eq!(told(&process, "s/n", "a"), gates(&[("a2", &["b"])]));
    drop(process);

    // Nor when it is started for the first time with everything away, for longer than the grace.
    let process = world.start_with_grace(Duration::from_millis(1)).await;
    eventually("named", async || process.reason(&key) == Some("NoWay")).await;
    assert_eq!(stored(&process, "s/n").await.unwrap(), plan);
    assert_eq!(opened(&process, "s/n"), ["a/a2:1", "b/b1:1"]);
    all_ready(&process);
    eventually("all is heard of", async || process.reason(&key) != Some("NoWay")).await;
    assert_eq!(stored(&process, "s/n").await.unwrap(), plan);
}

#[tokio::test]
async fn broken_links_are_left_and_healed_ones_not_returned_to() {
    let world = World::new().await;
    let process = world.start().await;
    let links = [("a/a1", "b/b1"), ("a/a2", "b/b2"), ("a/a1", "c/c1")];
    furnish(&process, &["a/a1", "a/a2", "b/b1", "b/b2", "c/c1"], &links).await;
    all_ready(&process);
    process.apply_network(&network("s/n", &["a", "b"], "")).await;
    process.apply_network(&network("s/m", &["a", "c"], "")).await;
    eventually("gates", async || {
        opened(&process, "s/n") == ["a/a1:1", "b/b1:1"]
            && opened(&process, "s/m") == ["a/a1:1", "c/c1:1"]
    })
    .await;
    // The links must have been seen to work before they are cut.
    eventually("the engine knows all links", async || {
        let state = process.fabric.state.lock().unwrap();
        state.slices.get(&name("s")).is_some_and(|slice| slice.links.len() == links.len())
    })
    .await;
    let looks = process.fabric.state.lock().unwrap().looks;
    process.observe(Event::LinksChanged);
    eventually("links are up", async || {
        process.observe(Event::LinksChanged);
        process.fabric.state.lock().unwrap().looks > looks + 1
    })
    .await;

    // In one direction only: that is enough.
    cut(&process, "b/b1", "a/a1", true);
    eventually("another plane", async || opened(&process, "s/n") == ["a/a2:1", "b/b2:1"]).await;
    assert_eq!(epoch(&process, "s/n"), [2, 2]);
    cut(&process, "a/a1", "c/c1", true);
    let key = ObjectKey::Network(network_key("s/m"));
    eventually("no way is left", async || process.reason(&key) == Some("NoWay")).await;
    assert_eq!(opened(&process, "s/m"), ["a/a1:1", "c/c1:1"], "it may heal");

    cut(&process, "a/a1", "c/c1", false);
    cut(&process, "b/b1", "a/a1", false);
    eventually("it has healed", async || process.reason(&key) != Some("NoWay")).await;
    assert_eq!(opened(&process, "s/n"), ["a/a2:1", "b/b2:1"]);
    assert_eq!(epoch(&process, "s/m"), [1, 1]);
}

#[tokio::test]
async fn a_changed_slice_is_planned_afresh_and_a_repeated_one_is_not() {
    let world = World::new().await;
    let process = world.start_with_grace(Duration::from_millis(50)).await;
    let links = [("a/a1", "b/b1"), ("a/a2", "b/b1")];
    furnish(&process, &["a/a1", "a/a2", "b/b1"], &links).await;
    all_ready(&process);
    process.apply_network(&network("s/n", &["a", "b"], "")).await;
    eventually("gates", async || opened(&process, "s/n") == ["a/a1:1", "b/b1:1"]).await;
    down(&process, "a/a1");
    eventually("it has moved", async || opened(&process, "s/n") == ["a/a2:1", "b/b1:1"]).await;
    all_ready(&process);

    let mut same = slice("s", &["a", "b", "c"], &["a/a1", "a/a2", "b/b1"]);
    same.links = links.iter().map(|(a, b)| link(a, b, 1)).collect();
    same.version = version("u", 2);
    process.apply_slice(&same).await;
    let key = ObjectKey::Slice(name("s"));
    eventually("it was looked at", async || {
        process.status.board().get(&key).unwrap().version.generation == 2
    })
    .await;
    assert_eq!(opened(&process, "s/n"), ["a/a2:1", "b/b1:1"]);

    let mut next = same.clone();
    next.links.push(link("a/a1", "c/c1", 1));
    next.gateways.push(gateway_key("c/c1"));
    next.version = version("u", 3);
    process.apply_slice(&next).await;
    eventually("the order of preference counts", async || {
        opened(&process, "s/n") == ["a/a1:1", "b/b1:1"]
    })
    .await;
    assert_eq!(epoch(&process, "s/n"), [3, 3]);

    next.links = vec![link("a/a1", "b/b1", 5), link("a/a2", "b/b2", 1)];
    next.gateways.push(gateway_key("b/b2"));
    next.version = version("u", 4);
    process.apply_slice(&next).await;
    eventually("the cheaper plane", async || opened(&process, "s/n") == ["a/a2:1", "b/b2:1"]).await;
}

#[tokio::test]
async fn a_network_of_one_cluster_needs_no_plan() {
    let world = World::new().await;
    let process = world.start().await;
    furnish(&process, &["a/a1", "b/b1"], &[("a/a1", "b/b1")]).await;
    process.apply_network(&network("s/n", &["a", "b"], "")).await;
    process.apply_network(&network("s/m", &["a"], "")).await;
    let is_done = |key| process.reason(&ObjectKey::Network(network_key(key))) == Some("");
    eventually("it is made", async || is_done("s/m") && epoch(&process, "s/n") == [1, 1]).await;
    let planned = async |key| {
        let stored = process.store.network(&network_key(key)).await.unwrap().unwrap();
        stored.planned_for
    };
    assert!(planned("s/n").await.is_some());
    assert_eq!(planned("s/m").await, None);

    // Nothing is left of a plan when it loses its other cluster.
    let mut smaller = network("s/n", &["a"], "");
    smaller.version.generation = 2;
    process.apply_network(&smaller).await;
    eventually("its gates are closed", async || opened(&process, "s/n").is_empty()).await;
    assert!(told(&process, "s/n", "a").is_empty());
}
