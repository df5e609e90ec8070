//! Two replicas on one database.

use l2sces_proto::{resource::v1::ChangeKind, slice::v1 as api};

use crate::{manager::Manager, samples, world::World};

#[tokio::test]
async fn a_change_by_either_is_carried_out_once_and_seen_by_both() {
    let mut world = World::with_slice().await;
    let mut other = Manager::start(&world.url, &world.sco.endpoint()).await;
    let request = api::WatchNetworksRequest::default();
    let mut stream = other.networks.watch_networks(request.clone()).await.unwrap().into_inner();
    let mut own = world.manager.networks.watch_networks(request).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().kind(), ChangeKind::Synced);
    assert_eq!(own.message().await.unwrap().unwrap().kind(), ChangeKind::Synced);

    let network = Some(samples::network("s", "n"));
    let request = api::CreateNetworkRequest { network, ..Default::default() };
    other.networks.create_network(request).await.unwrap();
    for stream in [&mut stream, &mut own] {
        let change = stream.message().await.unwrap().unwrap();
        assert_eq!(change.kind(), ChangeKind::Put);
        assert_eq!(change.network.unwrap().metadata.unwrap().name, "n");
    }
    world.until_settled().await;
    let calls = world.a.fake.calls();
    let applied = calls.iter().filter(|call| call.as_str() == "apply network/s/n").count();
    assert_eq!(applied, 1, "{calls:?}");
}

#[tokio::test]
async fn a_lead_that_was_lost_with_its_connection_is_taken_again() {
    let world = World::with_slice().await;
    world.lose_connections().await;
    world.until("a replica leads", async || leaders(&world).await == 1).await;
}

/// How many sessions have the right to carry out what is desired.
async fn leaders(world: &World) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_locks where relation = 'leadership'::regclass and granted",
    )
    .fetch_one(&world.database)
    .await
    .unwrap()
}

#[tokio::test]
async fn when_one_is_killed_the_other_takes_over() {
    let mut world = World::with_slice().await;
    let other = Manager::start(&world.url, &world.sco.endpoint()).await;
    world.manager.kill();
    world.manager = other;
    world.create_network(samples::network("s", "n")).await.unwrap();
    world.attach(samples::port("s", "n", "p", "b", "n2")).await.unwrap();
    world.until_settled().await;
    assert!(world.b.fake.object("port/s/n/p").is_some());
}
