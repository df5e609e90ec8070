//! Whatever dies, and whenever, what is desired is carried out in the end.

use std::time::{Duration, Instant};

use l2sces_proto::{resource::v1::ConditionStatus, slice::v1::WatchNetworksRequest};
use tonic::Code;

use crate::{
    samples,
    world::{World, readiness},
};

#[tokio::test]
async fn a_deletion_goes_on_after_a_restart() {
    let mut world = World::with_port().await;
    world.a.fake.set_lingering(true);
    world.delete_slice(true).await.unwrap();
    world.until_status("port", "p", "false", "the port is still there").await;
    world.restart().await;
    world.a.fake.set_lingering(false);
    world.until_left(&["cluster a", "cluster b"]).await;
    assert_eq!(world.a.fake.keys(), ["node/n1", "node/n2"]);
}

#[tokio::test]
async fn a_restart_sends_nothing_again() {
    let mut world = World::with_port().await;
    let before = (world.a.fake.calls(), world.sco.fake.calls());
    world.restart().await;
    world.attach(samples::port("s", "n", "q", "a", "n2")).await.unwrap();
    world.until_settled().await;
    let (mut a, sco) = before;
    a.push("apply port/s/n/q".to_owned());
    assert_eq!((world.a.fake.calls(), world.sco.fake.calls()), (a, sco));
}

#[tokio::test]
async fn what_was_asked_for_while_a_controller_was_down_is_done_when_it_returns() {
    let mut world = World::with_port().await;
    world.a.stop().await;
    world.attach(samples::port("s", "n", "q", "a", "n2")).await.unwrap();
    world.detach("p").await.unwrap();
    // Cluster b is no part of the trouble.
    world.attach(samples::port("s", "n", "r", "b", "n2")).await.unwrap();
    world.until_status("port", "r", "true", "").await;

    world
        .until_status("port", "q", "unknown", "the sdn-controller of cluster a does not answer")
        .await;
    let port = world.port("q").await.unwrap().status.unwrap();
    assert_eq!(port.conditions[0].reason, "ControllerUnreachable");
    world
        .until_status("cluster", "a", "unknown", "the sdn-controller of cluster a does not answer")
        .await;
    world.until_status("network", "n", "unknown", "the sdn-controller of cluster a").await;

    world.a.resume();
    world.until_settled().await;
    assert!(world.a.fake.object("port/s/n/q").is_some());
    assert!(world.a.fake.object("port/s/n/p").is_none());
}

#[tokio::test]
async fn a_short_absence_changes_no_condition() {
    // For so long the slice-manager tells nobody that a controller is away.
    let grace = Duration::from_secs(3);
    // On a busy machine the absence may not be short.
    for _ in 0..5 {
        let mut world = World::with_port().await;
        let before = world.port("p").await.unwrap();
        let start = Instant::now();
        world.a.stop().await;
        world.a.resume();
        world.attach(samples::port("s", "n", "q", "a", "n2")).await.unwrap();
        world.until_status("port", "q", "true", "").await;
        let after = world.port("p").await.unwrap();
        if start.elapsed() < grace {
            assert_eq!(after, before);
            return;
        }
    }
    panic!("no absence was short");
}

#[tokio::test]
async fn a_controller_that_has_lost_everything_is_told_again() {
    let mut world = World::with_port().await;
    let before = world.a.fake.keys();
    world.a.stop().await;
    world.a.fake.lose_everything();
    world.a.resume();
    world.until("everything is back", async || world.a.fake.keys() == before).await;
    world.until_settled().await;
}

#[tokio::test]
async fn a_controller_that_does_not_answer_holds_up_nobody_else() {
    let mut world = World::with_port().await;
    world.a.fake.set_hanging(true);
    for index in 0..5 {
        let name = format!("a{index}");
        world.attach(samples::port("s", "n", &name, "a", "n1")).await.unwrap();
    }
    world.attach(samples::port("s", "n", "r", "b", "n2")).await.unwrap();
    world.until_status("port", "r", "true", "").await;
    world.until_status("port", "a0", "unknown", "cluster a").await;
    world.a.fake.set_hanging(false);
    world.until_settled().await;
}

#[tokio::test]
async fn the_sco_provider_may_come_late() {
    let mut world = World::empty().await;
    world.sco.stop().await;
    world.restart().await;
    world.create_clusters().await;
    world.create_slice(samples::slice("s", &["a", "b"])).await.unwrap();
    world.create_network(samples::network("s", "n")).await.unwrap();
    world.until_status("network", "n", "unknown", "the sco-provider does not answer").await;
    let network = world.network("n").await.unwrap().status.unwrap();
    assert_eq!(network.vni, 0);
    world.sco.resume();
    world.until_settled().await;
    let network = world.network("n").await.unwrap().status.unwrap();
    assert_eq!(readiness(&network.conditions).0, ConditionStatus::True);
    assert_ne!(network.vni, 0);
}

#[tokio::test]
async fn killed_at_any_moment_it_ends_up_the_same() {
    let mut world = World::with_slice().await;
    for round in 0..6 {
        let name = format!("n{round}");
        world.create_network(samples::network("s", &name)).await.unwrap();
        let port = samples::port("s", &name, "p", "a", "n1");
        world.attach(port).await.unwrap();
        world.restart().await;
    }
    world.until_settled().await;
    for round in 0..6 {
        assert!(world.a.fake.object(&format!("port/s/n{round}/p")).is_some());
    }
    world.delete_slice(true).await.unwrap();
    world.restart().await;
    world.until_left(&["cluster a", "cluster b"]).await;
    assert_eq!(world.b.fake.keys(), ["node/n1", "node/n2"]);
}

#[tokio::test]
async fn a_shutdown_is_clean_with_a_watch_open() {
    let mut world = World::with_slice().await;
    let request = l2sces_proto::slice::v1::WatchSlicesRequest { after_revision: 0 };
    let stream = world.manager.slices.watch_slices(request).await.unwrap();
    let status = world.manager.terminate().await;
    assert!(status.success(), "{status}");
    drop(stream);
}

#[tokio::test]
async fn lost_connections_to_the_database_are_made_again() {
    let mut world = World::with_slice().await;
    let mut request = WatchNetworksRequest::default();
    let watched = world.manager.networks.watch_networks(request.clone()).await.unwrap();
    let mut stream = watched.into_inner();
    request.after_revision = stream.message().await.unwrap().unwrap().revision;
    world.lose_connections().await;
    // A connection that was in use a moment ago fails the request that finds it lost.
    while let Err(status) = world.create_network(samples::network("s", "n")).await {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    while let Err(status) = world.attach(samples::port("s", "n", "p", "b", "n1")).await {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    world.until_settled().await;
    assert!(world.b.fake.object("port/s/n/p").is_some());
    // A watch that was reading ends, and goes on where it was.
    let change = loop {
        match stream.message().await {
            Ok(change) => break change.unwrap(),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
        }
        stream = loop {
            match world.manager.networks.watch_networks(request.clone()).await {
                Ok(watched) => break watched.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        };
    };
    assert_eq!(change.network.unwrap().metadata.unwrap().name, "n");
}
