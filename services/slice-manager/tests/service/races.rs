//! Requests that contradict each other, at the same moment: the database decides.

use l2sces_proto::slice::v1 as api;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    samples,
    world::{World, code},
};

fn sorted(mut codes: Vec<Code>) -> Vec<Code> {
    codes.sort_by_key(|code| i32::from(*code));
    codes
}

#[tokio::test]
async fn of_many_creations_of_one_name_one_wins() {
    let world = World::with_slice().await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let mut networks = world.manager.networks.clone();
        tasks.spawn(async move {
            let network = Some(samples::network("s", "n"));
            let request = api::CreateNetworkRequest { network, ..Default::default() };
            code(networks.create_network(request).await)
        });
    }
    let codes = sorted(tasks.join_all().await);
    assert_eq!(codes[0], Code::Ok);
    assert!(codes[1..].iter().all(|code| *code == Code::AlreadyExists), "{codes:?}");
}

#[tokio::test]
async fn of_many_ports_with_one_address_one_wins() {
    let world = World::with_port().await;
    let mut tasks = JoinSet::new();
    for index in 0..8 {
        let mut networks = world.manager.networks.clone();
        tasks.spawn(async move {
            let mut port = samples::port("s", "n", &format!("q{index}"), "a", "n1");
            let spec = port.spec.as_mut().unwrap();
            spec.address = "10.1.0.77".to_owned();
            spec.mac = format!("02:00:00:00:01:{index:02x}");
            let request = api::AttachPortRequest { port: Some(port), ..Default::default() };
            code(networks.attach_port(request).await)
        });
    }
    let codes = sorted(tasks.join_all().await);
    assert_eq!(codes[0], Code::Ok);
    assert!(codes[1..].iter().all(|code| *code == Code::AlreadyExists), "{codes:?}");
}

#[tokio::test]
async fn a_network_is_never_left_in_a_slice_that_goes() {
    let mut world = World::empty().await;
    world.create_clusters().await;
    for round in 0..10 {
        world.create_slice(samples::slice("s", &["a"])).await.unwrap();
        let mut slices = world.manager.slices.clone();
        let mut networks = world.manager.networks.clone();
        let delete = async {
            let name = "s".to_owned();
            let request = api::DeleteSliceRequest { name, ..Default::default() };
            code(slices.delete_slice(request).await)
        };
        let create = async {
            let network = Some(samples::network("s", "n"));
            let request = api::CreateNetworkRequest { network, ..Default::default() };
            code(networks.create_network(request).await)
        };
        let codes = if round % 2 == 0 {
            let (delete, create) = tokio::join!(delete, create);
            (delete, create)
        } else {
            let (create, delete) = tokio::join!(create, delete);
            (delete, create)
        };
        let known = [
            (Code::Ok, Code::FailedPrecondition),
            (Code::Ok, Code::NotFound),
            (Code::FailedPrecondition, Code::Ok),
        ];
        assert!(known.contains(&codes), "{codes:?}");
        if codes.0 != Code::Ok {
            world.delete_slice(true).await.unwrap();
        }
        world.until_left(&["cluster a", "cluster b"]).await;
    }
}

#[tokio::test]
async fn a_port_is_never_left_in_a_network_that_goes() {
    let mut world = World::with_slice().await;
    for round in 0..10 {
        world.create_network(samples::network("s", "n")).await.unwrap();
        let mut tasks = JoinSet::new();
        for index in 0..4 {
            let mut networks = world.manager.networks.clone();
            tasks.spawn(async move {
                let port = Some(samples::port("s", "n", &format!("p{round}-{index}"), "a", "n1"));
                let request = api::AttachPortRequest { port, ..Default::default() };
                code(networks.attach_port(request).await)
            });
        }
        let request = api::DeleteNetworkRequest {
            slice: "s".to_owned(),
            name: "n".to_owned(),
            force: true,
            ..Default::default()
        };
        world.manager.networks.delete_network(request).await.unwrap();
        for code in tasks.join_all().await {
            assert!(
                matches!(code, Code::Ok | Code::FailedPrecondition | Code::NotFound),
                "{code:?}"
            );
        }
        world.until_left(&["cluster a", "cluster b", "slice s"]).await;
    }
}

#[tokio::test]
async fn a_cluster_never_goes_from_under_a_slice() {
    let mut world = World::empty().await;
    let b = world.b.endpoint();
    for _ in 0..10 {
        world.create_cluster(samples::cluster("b", &b)).await.unwrap();
        let mut clusters = world.manager.clusters.clone();
        let mut slices = world.manager.slices.clone();
        let delete = async {
            let request = api::DeleteClusterRequest { name: "b".to_owned(), ..Default::default() };
            code(clusters.delete_cluster(request).await)
        };
        let create = async {
            let slice = Some(samples::slice("s", &["b"]));
            let request = api::CreateSliceRequest { slice, ..Default::default() };
            code(slices.create_slice(request).await)
        };
        let codes = tokio::join!(create, delete);
        let known = [
            (Code::Ok, Code::FailedPrecondition),
            (Code::FailedPrecondition, Code::Ok),
            (Code::InvalidArgument, Code::Ok),
        ];
        assert!(known.contains(&codes), "{codes:?}");
        if codes.0 == Code::Ok {
            world.delete_slice(false).await.unwrap();
            world.until_left(&["cluster b"]).await;
            world.delete_cluster("b").await.unwrap();
        }
        world.until_left(&[]).await;
    }
}
