//! Requests that are repeated, rehearsed, or based on an old version.

use l2sces_proto::slice::v1 as api;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    samples,
    world::{World, code},
};

fn request(id: &str, name: &str) -> api::CreateNetworkRequest {
    api::CreateNetworkRequest {
        network: Some(samples::network("s", name)),
        request_id: id.to_owned(),
        validate_only: false,
    }
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_what_it_made() {
    let world = World::with_slice().await;
    let mut networks = world.manager.networks.clone();
    let first = networks.create_network(request("r1", "n")).await.unwrap().into_inner();
    let uid = first.network.unwrap().metadata.unwrap().uid;
    world.until_settled().await;

    let again = networks.create_network(request("r1", "n")).await.unwrap().into_inner();
    let again = again.network.unwrap();
    assert_eq!(again.metadata.unwrap().uid, uid);
    assert_ne!(again.status.unwrap().vni, 0, "it is shown as it is now");

    let status = networks.create_network(request("r1", "m")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let bad = status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations[0].field, "request_id");
    assert_eq!(code(networks.create_network(request("r2", "n")).await), Code::AlreadyExists);
    assert_eq!(code(networks.create_network(request("r3", "m")).await), Code::Ok);
    assert_eq!(code(networks.create_network(request("", "o")).await), Code::Ok);
}

#[tokio::test]
async fn a_repeated_deletion_is_answered_though_the_resource_is_gone() {
    let mut world = World::with_slice().await;
    let mut slices = world.manager.slices.clone();
    let request = api::DeleteSliceRequest {
        name: "s".to_owned(),
        request_id: "d1".to_owned(),
        ..Default::default()
    };
    let first = slices.delete_slice(request.clone()).await.unwrap().into_inner();
    world.until_left(&["cluster a", "cluster b"]).await;
    let again = slices.delete_slice(request.clone()).await.unwrap().into_inner();
    let uid = |answer: api::DeleteSliceResponse| answer.slice.unwrap().metadata.unwrap().uid;
    assert_eq!(uid(first), uid(again));
    let without = api::DeleteSliceRequest { request_id: String::new(), ..request };
    assert_eq!(code(slices.delete_slice(without).await), Code::NotFound);

    // A new slice of the same name is another resource.
    world.create_slice(samples::slice("s", &["a"])).await.unwrap();
    let first = api::DeleteSliceRequest { name: "s".to_owned(), ..Default::default() };
    let first = api::DeleteSliceRequest { request_id: "d1".to_owned(), ..first };
    slices.delete_slice(first).await.unwrap();
    assert!(world.slice("s").await.unwrap().metadata.unwrap().delete_time.is_none());
}

#[tokio::test]
async fn one_request_sent_many_times_at_once_is_done_once() {
    let mut world = World::with_slice().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut networks = world.manager.networks.clone();
        tasks.spawn(async move {
            let answer = networks.create_network(request("same", "n")).await.unwrap();
            answer.into_inner().network.unwrap().metadata.unwrap().uid
        });
    }
    let mut uids = tasks.join_all().await;
    uids.dedup();
    assert_eq!(uids.len(), 1);
    assert_eq!(world.network("n").await.unwrap().metadata.unwrap().generation, 1);
}

#[tokio::test]
async fn a_rehearsal_answers_and_changes_nothing() {
    let mut world = World::with_port().await;
    let before = world.desired().await;
    let rehearsal = api::CreateNetworkRequest { validate_only: true, ..request("v", "m") };
    let answer = world.manager.networks.create_network(rehearsal).await.unwrap().into_inner();
    assert_eq!(answer.network.unwrap().metadata.unwrap().name, "m");
    let rehearsal = api::CreateNetworkRequest { validate_only: true, ..request("v", "n") };
    assert_eq!(code(world.manager.networks.create_network(rehearsal).await), Code::AlreadyExists);
    let rehearsal = api::DeleteSliceRequest {
        name: "s".to_owned(),
        force: true,
        validate_only: true,
        ..Default::default()
    };
    let answer = world.manager.slices.delete_slice(rehearsal).await.unwrap().into_inner();
    assert!(answer.slice.unwrap().metadata.unwrap().delete_time.is_some());
    let mut slice = samples::slice("s", &["a"]);
    slice.metadata = samples::named("s");
    let rehearsal =
        api::UpdateSliceRequest { slice: Some(slice), validate_only: true, ..Default::default() };
    world.manager.slices.update_slice(rehearsal).await.unwrap();
    let rehearsal = api::AttachPortRequest {
        port: Some(samples::port("s", "n", "q", "a", "n1")),
        validate_only: true,
        ..Default::default()
    };
    world.manager.networks.attach_port(rehearsal).await.unwrap();
    assert_eq!(world.desired().await, before);
}

#[tokio::test]
async fn an_old_etag_is_refused() {
    let mut world = World::with_slice().await;
    let old = world.slice("s").await.unwrap();
    let mut changed = old.clone();
    changed.spec.as_mut().unwrap().clusters.pop();
    let update =
        |slice: api::Slice| api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
    let answer = world.manager.slices.update_slice(update(changed.clone())).await.unwrap();
    let new = answer.into_inner().slice.unwrap().metadata.unwrap();
    let before = old.metadata.clone().unwrap();
    assert_eq!(new.generation, before.generation + 1);
    assert_ne!(new.etag, before.etag);

    assert_eq!(code(world.manager.slices.update_slice(update(old)).await), Code::Aborted);
    let delete = |etag: &str| api::DeleteSliceRequest {
        name: "s".to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    assert_eq!(code(world.manager.slices.delete_slice(delete(&before.etag)).await), Code::Aborted);
    // The same specification again is no change.
    changed.metadata.as_mut().unwrap().etag = new.etag.clone();
    let answer = world.manager.slices.update_slice(update(changed)).await.unwrap();
    let same = answer.into_inner().slice.unwrap().metadata.unwrap();
    assert_eq!((same.generation, &same.etag), (new.generation, &new.etag));
    // A status is no new version.
    world.until_settled().await;
    assert_eq!(code(world.manager.slices.delete_slice(delete(&new.etag)).await), Code::Ok);
}

#[tokio::test]
async fn of_many_updates_of_one_version_one_wins() {
    let mut world = World::with_slice().await;
    let slice = world.slice("s").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..8 {
        let mut slices = world.manager.slices.clone();
        let mut slice = slice.clone();
        let nodes = if index % 2 == 0 { vec!["n1"] } else { vec!["n1", "n2"] };
        slice.spec.as_mut().unwrap().clusters[0].nodes =
            nodes.into_iter().map(ToOwned::to_owned).collect();
        tasks.spawn(async move {
            let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
            code(slices.update_slice(request).await)
        });
    }
    let mut codes = tasks.join_all().await;
    codes.sort_by_key(|code| i32::from(*code));
    assert_eq!(codes[0], Code::Ok);
    assert!(codes[1..].iter().all(|code| *code == Code::Aborted), "{codes:?}");
}
