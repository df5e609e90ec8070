//! The links of a slice, as the services downstream tell of them.

use std::sync::Mutex;

use l2sces_proto::{
    measurement::v1::{LinkMetric, MeasurementPolicy},
    slice::v1 as api,
};
use tonic::{Code, Status};

use crate::{samples, world::World};

async fn links(world: &World, slice: &str) -> Result<api::ListLinksResponse, Status> {
    let request = api::ListLinksRequest { slice: slice.to_owned() };
    Ok(world.manager.slices.clone().list_links(request).await?.into_inner())
}

/// The links, when as many services do not answer as should not: one that is slow is left out.
async fn links_without(world: &World, unreachable: usize) -> api::ListLinksResponse {
    let listed = Mutex::new(None);
    let listed_without = async || {
        let answer = links(world, "s").await.unwrap();
        let is_met = answer.unreachable.len() == unreachable;
        *listed.lock().unwrap() = Some(answer);
        is_met
    };
    world.until(&format!("all but {unreachable} answer"), listed_without).await;
    listed.into_inner().unwrap().unwrap()
}

fn ends(link: &api::LinkStatus) -> (String, String) {
    let text = |end: &Option<api::LinkEnd>| {
        let end = end.clone().unwrap();
        format!("{}/{}", end.cluster, end.node)
    };
    (text(&link.source), text(&link.target))
}

#[tokio::test]
async fn links_are_gathered_from_those_who_know() {
    let mut world = World::with_slice().await;
    let listed = links_without(&world, 0).await;
    assert!(
        listed.links.iter().all(|link| link.message == "s"),
        "asked for this slice: {listed:?}"
    );
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let expected = [
        pair("a/n1", "a/n2"),
        pair("a/n2", "a/n1"),
        pair("b/n1", "b/n2"),
        pair("b/n2", "b/n1"),
        pair("a/n1", "b/n1"),
    ];
    assert_eq!(listed.links.iter().map(ends).collect::<Vec<_>>(), expected);
    assert_eq!(listed.links[0].measurement.as_ref().unwrap().loss, Some(0.5));
    assert!(listed.links[4].up && listed.links[4].measurement.is_none());
    assert_eq!(listed.links[1].measurement_message, "n2 is away");
    assert_eq!(listed.links[4].measurement_message, "the gateway is away");

    world.b.stop().await;
    let listed = links_without(&world, 1).await;
    assert_eq!(listed.links.len(), 3, "the others are there");
    assert!(listed.unreachable[0].contains("cluster b"), "{:?}", listed.unreachable);

    assert_eq!(links(&world, "unknown").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(links(&world, "").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_to_be_measured_is_told_to_those_who_do_and_shown() {
    let mut world = World::empty().await;
    world.create_clusters().await;
    let mut slice = samples::slice("s", &["a", "b"]);
    let metrics = vec![LinkMetric::Loss.into()];
    let policy = MeasurementPolicy { metrics, ..MeasurementPolicy::default() };
    slice.spec.as_mut().unwrap().measurement = Some(policy);
    let created = world.create_slice(slice).await.unwrap();
    world.until_settled().await;
    let shown = created.spec.unwrap().measurement.unwrap();
    assert_eq!((shown.interval_ms, shown.probes, shown.max_share_permille), (10_000, 20, 10));
    for service in [&world.a, &world.b, &world.sco] {
        let told = service.fake.object("slice/s").unwrap().body;
        assert!(told.contains(&format!("measurement: Some({shown:?})")), "{told}");
    }
}
