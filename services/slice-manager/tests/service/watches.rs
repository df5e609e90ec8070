//! Watches, from the start and resumed.

use std::time::Duration;

use l2sces_proto::{resource::v1::ChangeKind, slice::v1 as api};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::{
    samples,
    world::{World, code},
};

type Stream = Streaming<api::WatchNetworksResponse>;

async fn watch(world: &World, slice: &str, after: i64) -> Stream {
    let request = api::WatchNetworksRequest { after_revision: after, slice: slice.to_owned() };
    world.manager.networks.clone().watch_networks(request).await.unwrap().into_inner()
}

async fn next(stream: &mut Stream) -> Result<api::WatchNetworksResponse, Status> {
    let next = timeout(Duration::from_secs(30), stream.message()).await.expect("a change");
    next.map(|change| change.expect("the watch goes on"))
}

/// Reads until SYNCED: names of what was put, names of what is gone, and the revision.
async fn until_synced(stream: &mut Stream) -> (Vec<String>, Vec<String>, i64) {
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    let mut last = 0;
    loop {
        let change = next(stream).await.unwrap();
        assert!(change.revision >= last, "revisions grow");
        last = change.revision;
        let name =
            || change.network.clone().unwrap().metadata.map(|metadata| metadata.name).unwrap();
        match change.kind() {
            ChangeKind::Put => put.push(name()),
            ChangeKind::Deleted => {
                assert!(change.network.as_ref().unwrap().spec.is_none());
                gone.push(name());
            }
            ChangeKind::Synced => return (put, gone, change.revision),
            ChangeKind::Unspecified => panic!("{change:?}"),
        }
    }
}

async fn delete(world: &mut World, name: &str) {
    let request = api::DeleteNetworkRequest {
        slice: "s".to_owned(),
        name: name.to_owned(),
        ..Default::default()
    };
    world.manager.networks.delete_network(request).await.unwrap();
    let request = || api::GetNetworkRequest { slice: "s".to_owned(), name: name.to_owned() };
    let is_gone = async || {
        let answer = world.manager.networks.clone().get_network(request()).await;
        answer.is_err_and(|status| status.code() == Code::NotFound)
    };
    world.until(&format!("network {name} is gone"), is_gone).await;
}

#[tokio::test]
async fn a_watch_tells_what_exists_and_then_every_change() {
    let mut world = World::with_slice().await;
    for name in ["n1", "n2"] {
        world.create_network(samples::network("s", name)).await.unwrap();
    }
    world.until_settled().await;
    delete(&mut world, "n1").await;
    let mut stream = watch(&world, "", 0).await;
    let (put, gone, _) = until_synced(&mut stream).await;
    assert_eq!((put, gone), (vec!["n2".to_owned()], vec![]));

    world.create_network(samples::network("s", "n3")).await.unwrap();
    loop {
        let change = next(&mut stream).await.unwrap();
        let network = change.network.unwrap();
        assert_eq!((change.kind, network.metadata.unwrap().name.as_str()), (1, "n3"));
        if network.status.unwrap().conditions[0].status == 1 {
            break;
        }
    }
    delete(&mut world, "n2").await;
    loop {
        let change = next(&mut stream).await.unwrap();
        assert_eq!(change.network.clone().unwrap().metadata.unwrap().name, "n2");
        if change.kind() == ChangeKind::Deleted {
            break;
        }
    }
}

#[tokio::test]
async fn a_resumed_watch_tells_what_was_missed_deletions_included() {
    let mut world = World::with_slice().await;
    for name in ["n1", "n2", "n3"] {
        world.create_network(samples::network("s", name)).await.unwrap();
    }
    world.until_settled().await;
    let mut stream = watch(&world, "s", 0).await;
    let (put, _, revision) = until_synced(&mut stream).await;
    assert_eq!(put.len(), 3);
    drop(stream);

    delete(&mut world, "n2").await;
    world.create_network(samples::network("s", "n4")).await.unwrap();
    world.until_settled().await;
    world.restart().await;
    let (put, gone, later) = until_synced(&mut watch(&world, "s", revision).await).await;
    assert_eq!((put, gone), (vec!["n4".to_owned()], vec!["n2".to_owned()]));
    assert!(later > revision);
    let (put, gone, _) = until_synced(&mut watch(&world, "s", later).await).await;
    assert_eq!((put, gone), (vec![], vec![]));
}

#[tokio::test]
async fn a_watch_is_narrowed_to_a_slice() {
    let mut world = World::with_slice().await;
    world.create_slice(samples::slice("t", &["a"])).await.unwrap();
    world.create_network(samples::network("s", "n")).await.unwrap();
    let mut stream = watch(&world, "t", 0).await;
    assert_eq!(until_synced(&mut stream).await.0, Vec::<String>::new());
    world.create_network(samples::network("s", "m")).await.unwrap();
    world.create_network(samples::network("t", "n")).await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap().network.unwrap().slice, "t");
}

#[tokio::test]
async fn a_watch_cannot_resume_from_before_what_is_remembered() {
    let mut world = World::with_slice().await;
    world.create_network(samples::network("s", "n")).await.unwrap();
    world.until_settled().await;
    let (_, _, revision) = until_synced(&mut watch(&world, "s", 0).await).await;
    delete(&mut world, "n").await;
    sqlx::query("update tombstone set gone_time = now() - interval '2 days'")
        .execute(&world.database)
        .await
        .unwrap();
    // Whoever leads prunes when it begins to.
    world.restart().await;
    world
        .until("the tombstone is pruned", async || {
            let left: i64 = sqlx::query_scalar("select count(*) from tombstone")
                .fetch_one(&world.database)
                .await
                .unwrap();
            left == 0
        })
        .await;
    let resume =
        |after_revision| api::WatchNetworksRequest { after_revision, ..Default::default() };
    let mut networks = world.manager.networks.clone();
    assert_eq!(code(networks.watch_networks(resume(revision)).await), Code::OutOfRange);
    assert_eq!(code(networks.watch_networks(resume(i64::MAX)).await), Code::OutOfRange);
    assert_eq!(code(networks.watch_networks(resume(-1)).await), Code::InvalidArgument);
    let (_, _, now) = until_synced(&mut watch(&world, "s", 0).await).await;
    assert_eq!(code(networks.watch_networks(resume(now)).await), Code::Ok);
}

#[tokio::test]
async fn concurrent_writers_never_hide_a_change_from_a_watch() {
    let world = World::with_slice().await;
    let mut stream = watch(&world, "s", 0).await;
    until_synced(&mut stream).await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..40 {
        let mut networks = world.manager.networks.clone();
        tasks.spawn(async move {
            let network = Some(samples::network("s", &format!("n{index}")));
            let request = api::CreateNetworkRequest { network, ..Default::default() };
            networks.create_network(request).await.unwrap();
        });
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut last = 0;
    while seen.len() < 40 {
        let change = next(&mut stream).await.unwrap();
        assert!(change.revision > last, "revisions grow");
        last = change.revision;
        seen.insert(change.network.unwrap().metadata.unwrap().name);
    }
    tasks.join_all().await;
}
