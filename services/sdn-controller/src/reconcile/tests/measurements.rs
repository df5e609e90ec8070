//! Which agents are asked to measure what.

use l2sces_measurement::Policy;
use l2sces_proto::measurement::v1::{LinkMetric, MeasurementPolicy};

use crate::{
    domain::{Key, Links, SliceSpec},
    examples::{link, name, node, put_node, slice, version},
    fabric::tunnel_interface,
    reconcile::fakes::{World, run_until},
};

fn policy(metric: LinkMetric) -> Option<Policy> {
    let message =
        MeasurementPolicy { metrics: vec![metric.into()], ..MeasurementPolicy::default() };
    Some(Policy::read(&message).unwrap())
}

/// The nodes to which an agent measures the links.
fn measured(world: &World, node: &str) -> Vec<String> {
    let measured = world.agents.measured(&format!("http://{node}:50053"));
    let peers = ["n1", "n2", "n3"].into_iter();
    let is_measured =
        |peer: &&str| measured.contains(&tunnel_interface(&name("a"), &name(peer)).to_string());
    peers.filter(is_measured).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn links_are_measured_as_long_as_a_slice_asks_for_it() {
    let world = World::new().await;
    for node_name in ["n1", "n2", "n3"] {
        put_node(&world.store, &node(node_name)).await;
    }
    let nodes = ["n1", "n2", "n3"];
    let line = SliceSpec {
        links: Links::Listed(vec![link("n1", "n2", 1), link("n2", "n3", 1)]),
        measurement: policy(LinkMetric::Loss),
        ..slice("s1", &nodes)
    };
    world.store.apply_slice(&line).await.unwrap();
    world.store.apply_slice(&slice("s2", &nodes)).await.unwrap();
    let reconciler = world.start_complete().await;
    let are = |expected: [&[&str]; 3]| {
        nodes.iter().zip(expected).all(|(node, peers)| measured(&world, node) == *peers)
    };
    run_until(&reconciler, || are([&["n2"], &["n1", "n3"], &["n2"]])).await;
    let interface = tunnel_interface(&name("a"), &name("n2"));
    let latest = || reconciler.measurements.latest(&name("n1"), &interface);
    run_until(&reconciler, || latest().is_some_and(|it| it.probes_sent == 7)).await;
    let is_measured = |slice: &str| world.fabric.wanted().slices[&name(slice)].is_measured;
    assert!(is_measured("s1") && !is_measured("s2"), "the switches let the probes through");

    // Another slice asks for it too, of other links.
    let also = SliceSpec {
        version: version("s2", 2),
        measurement: policy(LinkMetric::Jitter),
        ..slice("s2", &nodes)
    };
    let wake = || {
        for slice in ["s1", "s2"] {
            reconciler.queue.wake(Key::Slice(name(slice)));
        }
        nodes.iter().for_each(|node| reconciler.queue.wake(Key::Node(name(node))));
    };
    world.store.apply_slice(&also).await.unwrap();
    wake();
    run_until(&reconciler, || are([&["n2", "n3"], &["n1", "n3"], &["n1", "n2"]])).await;

    world.store.mark_slice(&name("s2")).await.unwrap();
    wake();
    run_until(&reconciler, || are([&["n2"], &["n1", "n3"], &["n2"]])).await;
    let silent = SliceSpec { version: version("s1", 2), measurement: None, ..line };
    world.store.apply_slice(&silent).await.unwrap();
    wake();
    run_until(&reconciler, || are([&[], &[], &[]]) && !is_measured("s1")).await;
    assert_eq!(latest(), None, "nothing stale is told");
}
