//! Which gateways are asked to measure what.

use l2sces_measurement::Policy;
use l2sces_proto::measurement::v1::{LinkMetric, MeasurementPolicy};
use sco_provider::domain::{Key, tunnel_interface};

use crate::support::{World, eventually, gateway, gateway_key, name, slice, version};

/// The gateways to which an agent measures the links.
fn measured(world: &World, key: &str) -> Vec<&'static str> {
    let measured = world.agents.measured(&gateway(key, "192.0.2.1").agent_endpoint);
    let peers = ["a/a1", "b/b1", "c/c1"].into_iter();
    let is_measured =
        |peer: &&str| measured.contains(&tunnel_interface(&gateway_key(peer)).to_string());
    peers.filter(is_measured).collect()
}

#[tokio::test]
async fn links_between_gateways_are_measured_as_long_as_a_slice_asks_for_it() {
    let world = World::new().await;
    let process = world.start().await;
    let gateways = [("a/a1", "192.0.2.11"), ("b/b1", "192.0.2.21"), ("c/c1", "192.0.2.31")];
    for (key, address) in gateways {
        process.apply_gateway(&gateway(key, address)).await;
    }
    let all = ["a/a1", "b/b1", "c/c1"];
    let mut plain = slice("t", &["a", "b", "c"], &all);
    process.apply_slice(&plain).await;
    let policy = MeasurementPolicy {
        metrics: vec![LinkMetric::RoundTripTime.into()],
        ..MeasurementPolicy::default()
    };
    let mut asking = slice("s", &["a", "b"], &["a/a1", "b/b1"]);
    asking.measurement = Some(Policy::read(&policy).unwrap());
    process.apply_slice(&asking).await;
    let are = |expected: [&[&str]; 3]| {
        gateways.iter().zip(expected).all(|((key, _), peers)| measured(&world, key) == peers)
    };
    eventually("one link is measured", async || are([&["b/b1"], &["a/a1"], &[]])).await;
    let is_measured = |slice: &str| {
        let state = process.fabric.state.lock().unwrap();
        state.slices.get(&name(slice)).map(|slice| slice.is_measured)
    };
    let are_told = async || (is_measured("s"), is_measured("t")) == (Some(true), Some(false));
    eventually("the clusters know which slice is measured", are_told).await;

    // The topology stays.
    plain.version = version("u", 2);
    plain.measurement = asking.measurement;
    process.apply_slice(&plain).await;
    let mesh: [&[&str]; 3] = [&["b/b1", "c/c1"], &["a/a1", "c/c1"], &["a/a1", "b/b1"]];
    eventually("all links are measured", async || are(mesh)).await;

    process.store.delete_slice(&name("t")).await.unwrap();
    process.queues.wake(Key::Slice(name("t")));
    eventually("one link is measured", async || are([&["b/b1"], &["a/a1"], &[]])).await;
    process.store.delete_slice(&name("s")).await.unwrap();
    process.queues.wake(Key::Slice(name("s")));
    eventually("nothing is measured", async || are([&[], &[], &[]])).await;
}

#[tokio::test]
async fn a_link_is_measured_less_when_a_slice_that_shares_it_goes() {
    let world = World::new().await;
    let process = world.start().await;
    process.apply_gateway(&gateway("a/a1", "192.0.2.11")).await;
    process.apply_gateway(&gateway("b/b1", "192.0.2.21")).await;
    process.apply_slice(&slice("t", &["a", "b"], &["a/a1", "b/b1"])).await;
    let mut asking = slice("s", &["a", "b"], &["a/a1", "b/b1"]);
    let policy = MeasurementPolicy { metrics: vec![3], ..MeasurementPolicy::default() };
    asking.measurement = Some(Policy::read(&policy).unwrap());
    process.apply_slice(&asking).await;
    let is = |peers: &[&str]| measured(&world, "a/a1") == peers;
    eventually("the link is measured", async || is(&["b/b1"])).await;
    process.store.delete_slice(&name("s")).await.unwrap();
    process.queues.wake(Key::Slice(name("s")));
    eventually("the link is not measured", async || is(&[])).await;
}
