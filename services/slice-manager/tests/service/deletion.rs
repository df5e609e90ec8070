//! Deletion is a state, which ends when nothing is left downstream.

use l2sces_proto::{resource::v1::ConditionStatus, slice::v1 as api};
use tonic::{Code, Status};

use crate::{
    samples,
    world::{World, code, readiness},
};

#[tokio::test]
async fn force_deletes_a_slice_with_everything_in_it() {
    let mut world = World::with_port().await;
    assert_eq!(code(world.delete_slice(false).await), Code::FailedPrecondition);
    world.delete_slice(true).await.unwrap();
    world.until_left(&["cluster a", "cluster b"]).await;
    assert_eq!(world.a.fake.keys(), ["node/n1", "node/n2"]);
    assert_eq!(world.sco.fake.keys(), ["gateway/a/n1", "gateway/b/n1"]);

    world.delete_cluster("a").await.unwrap();
    world.delete_cluster("b").await.unwrap();
    world.until_left(&[]).await;
    assert!(world.a.fake.keys().is_empty());
    assert!(world.sco.fake.keys().is_empty());
    let places: i64 = sqlx::query_scalar("select count(*) from placement")
        .fetch_one(&world.database)
        .await
        .unwrap();
    assert_eq!(places, 0);
}

#[tokio::test]
async fn a_network_goes_from_its_clusters_before_its_identity_is_given_back() {
    let mut world = World::with_port().await;
    world.b.fake.set_lingering(true);
    let request = api::DeleteNetworkRequest {
        slice: "s".to_owned(),
        name: "n".to_owned(),
        force: true,
        ..Default::default()
    };
    world.manager.networks.delete_network(request).await.unwrap();
    world.until_status("network", "n", "false", "cluster b: network s/n is still there").await;
    assert!(world.sco.fake.object("network/s/n").is_some());
    assert!(world.a.fake.object("network/s/n").is_none());
    let network = world.network("n").await.unwrap();
    assert!(network.metadata.unwrap().delete_time.is_some());
    let (status, _) = readiness(&network.status.unwrap().conditions);
    assert_eq!(status, ConditionStatus::False);

    // The name is in use until then.
    assert_eq!(code(world.create_network(samples::network("s", "n")).await), Code::AlreadyExists);
    world.b.fake.set_lingering(false);
    world.until_left(&["cluster a", "cluster b", "slice s"]).await;
    assert!(world.sco.fake.object("network/s/n").is_none());
}

#[tokio::test]
async fn a_refused_deletion_is_tried_again() {
    let mut world = World::with_port().await;
    world.a.fake.refuse("delete port/s/n/p", Status::failed_precondition("the agent is away"));
    world.detach("p").await.unwrap();
    world.until_status("port", "p", "false", "cluster a: the agent is away").await;
    world.a.fake.relent();
    world.until_left(&["cluster a", "cluster b", "network s n", "slice s"]).await;
    assert!(world.a.fake.object("port/s/n/p").is_none());
}

#[tokio::test]
async fn what_is_being_deleted_takes_no_changes_and_no_children() {
    let mut world = World::with_port().await;
    world.a.fake.set_lingering(true);
    world.delete_slice(true).await.unwrap();
    world.delete_slice(false).await.unwrap();

    let slice = world.slice("s").await.unwrap();
    let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
    assert_eq!(code(world.manager.slices.update_slice(request).await), Code::FailedPrecondition);
    assert_eq!(
        code(world.create_network(samples::network("s", "m")).await),
        Code::FailedPrecondition
    );
    assert_eq!(
        code(world.attach(samples::port("s", "n", "q", "a", "n1")).await),
        Code::FailedPrecondition
    );
    world.a.fake.set_lingering(false);
    world.until_left(&["cluster a", "cluster b"]).await;
}

#[tokio::test]
async fn a_cluster_that_never_comes_back_is_given_up() {
    let mut world = World::with_slice().await;
    world.create_network(samples::network("s", "n")).await.unwrap();
    world.until_settled().await;
    world.b.stop().await;
    let forced =
        api::DeleteClusterRequest { name: "b".to_owned(), force: true, ..Default::default() };
    let refused = world.manager.clusters.delete_cluster(forced.clone()).await;
    assert_eq!(code(refused), Code::FailedPrecondition, "slice s has it");
    let mut slice = world.slice("s").await.unwrap();
    slice.spec.as_mut().unwrap().clusters.retain(|part| part.cluster == "a");
    let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
    world.manager.slices.update_slice(request).await.unwrap();
    // It waits at first, and is given up then.
    world.delete_cluster("b").await.unwrap();
    let waits = "waits for 2 slices or networks";
    world.until_status("cluster", "b", "false", waits).await;
    world.manager.clusters.delete_cluster(forced).await.unwrap();
    world.until_left(&["cluster a", "network s n", "slice s"]).await;
    world.until_settled().await;
    assert_eq!(world.sco.fake.keys(), ["gateway/a/n1", "network/s/n", "slice/s"]);
}

#[tokio::test]
async fn a_slice_that_is_being_deleted_does_not_keep_a_cluster_that_never_comes_back() {
    let mut world = World::with_slice().await;
    world.create_network(samples::network("s", "n")).await.unwrap();
    world.until_settled().await;
    world.b.stop().await;
    world.delete_slice(true).await.unwrap();
    let forced =
        api::DeleteClusterRequest { name: "b".to_owned(), force: true, ..Default::default() };
    world.manager.clusters.delete_cluster(forced).await.unwrap();
    world.until_left(&["cluster a"]).await;
    assert_eq!(world.sco.fake.keys(), ["gateway/a/n1"]);
}

#[tokio::test]
async fn a_cluster_can_leave_only_when_nothing_of_others_is_in_it() {
    let mut world = World::with_slice().await;
    assert_eq!(code(world.delete_cluster("b").await), Code::FailedPrecondition);
    world.b.fake.set_lingering(true);
    let mut slice = world.slice("s").await.unwrap();
    slice.spec.as_mut().unwrap().clusters.retain(|part| part.cluster == "a");
    let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
    world.manager.slices.update_slice(request).await.unwrap();
    world.delete_cluster("b").await.unwrap();
    world.until_status("cluster", "b", "false", "waits for 1 slices or networks").await;
    world.b.fake.set_lingering(false);
    world.until_left(&["cluster a", "slice s"]).await;
    assert!(world.b.fake.keys().is_empty());
}

#[tokio::test]
async fn ports_are_given_up_with_a_cluster_that_never_comes_back() {
    let forced =
        || api::DeleteClusterRequest { name: "a".to_owned(), force: true, ..Default::default() };
    let mut world = World::with_port().await;
    world.a.stop().await;
    world.delete_slice(true).await.unwrap();
    world.manager.clusters.delete_cluster(forced()).await.unwrap();
    world.until_left(&["cluster b"]).await;

    // Or the slice goes on without the cluster.
    let mut world = World::with_port().await;
    world.a.stop().await;
    let mut slice = world.slice("s").await.unwrap();
    slice.spec.as_mut().unwrap().clusters.retain(|part| part.cluster == "b");
    let update =
        |force| api::UpdateSliceRequest { slice: Some(slice.clone()), force, ..Default::default() };
    let needed = world.manager.slices.update_slice(update(true)).await;
    assert_eq!(code(needed), Code::FailedPrecondition, "the port is to stay");
    world.detach("p").await.unwrap();
    let unforced = world.manager.slices.update_slice(update(false)).await;
    assert_eq!(code(unforced), Code::FailedPrecondition, "the port is still there");
    world.manager.slices.update_slice(update(true)).await.unwrap();
    world.manager.clusters.delete_cluster(forced()).await.unwrap();
    world.until_left(&["cluster b", "network s n", "slice s"]).await;
}
