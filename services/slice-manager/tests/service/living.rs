//! Slices and clusters that change while networks and ports exist.

use l2sces_proto::slice::v1 as api;
use tonic::Code;

use crate::{samples, world::World};

async fn update_slice(world: &mut World, change: impl FnOnce(&mut api::SliceSpec)) {
    let mut slice = world.slice("s").await.unwrap();
    change(slice.spec.as_mut().unwrap());
    let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
    world.manager.slices.update_slice(request).await.unwrap();
}

async fn update_cluster(
    world: &mut World,
    name: &str,
    force: bool,
    change: impl FnOnce(&mut Vec<api::Node>),
) -> Result<(), tonic::Status> {
    let mut cluster = world.cluster(name).await.unwrap();
    change(&mut cluster.spec.as_mut().unwrap().nodes);
    let request = api::UpdateClusterRequest { cluster: Some(cluster), force, ..Default::default() };
    world.manager.clusters.update_cluster(request).await.map(drop)
}

fn link(a: &str, b: &str, cost: u32) -> api::Link {
    let (endpoint_a, endpoint_b) = (a.to_owned(), b.to_owned());
    api::Link { endpoint_a, endpoint_b, cost, ..api::Link::default() }
}

#[tokio::test]
async fn links_with_costs_and_gateways_reach_both_controllers() {
    let mut world = World::with_slice().await;
    update_slice(&mut world, |spec| {
        spec.clusters[0].links = vec![link("n1", "n2", 7)];
        spec.links = vec![
            api::Link { gateway_a: "n1".to_owned(), ..link("a", "b", 9) },
            api::Link { gateway_b: "n1".to_owned(), ..link("a", "b", 0) },
        ];
    })
    .await;
    world.until_settled().await;
    let within = world.a.fake.object("slice/s").unwrap().body;
    assert!(within.contains("cost: 7"), "{within}");
    let between = world.sco.fake.object("slice/s").unwrap().body;
    for part in ["gateway_a: \"n1\", gateway_b: \"\", cost: 9", "gateway_b: \"n1\", cost: 0"] {
        assert!(between.contains(part), "{between}");
    }
    let shown = world.slice("s").await.unwrap().spec.unwrap();
    assert_eq!((shown.links[0].cost, shown.links[0].gateway_a.as_str()), (9, "n1"));
    assert_eq!((shown.links[1].cost, shown.clusters[0].links[0].cost), (0, 7));
}

#[tokio::test]
async fn a_change_of_a_slices_links_costs_no_call_for_its_networks() {
    let mut world = World::with_slice().await;
    for number in 0..10 {
        let mut network = samples::network("s", &format!("n{number}"));
        if number % 2 == 0 {
            network.spec.as_mut().unwrap().clusters = vec!["a".to_owned()];
        }
        world.create_network(network).await.unwrap();
    }
    world.until_settled().await;
    let before = [&world.a, &world.b, &world.sco].map(|server| server.fake.calls().len());
    update_slice(&mut world, |spec| spec.clusters[0].links = vec![link("n1", "n2", 2)]).await;
    world.until_settled().await;
    update_slice(&mut world, |spec| spec.clusters[0].links[0].cost = 3).await;
    world.until_settled().await;
    let servers = [&world.a, &world.b, &world.sco];
    for (server, before) in servers.into_iter().zip(before) {
        let calls = server.fake.calls().split_off(before);
        assert_eq!(calls, ["apply slice/s", "apply slice/s"]);
    }

    // A cluster that leaves is another matter for those that span it.
    let before = world.sco.fake.calls().len();
    update_slice(&mut world, |spec| {
        spec.clusters.truncate(1);
    })
    .await;
    let networks = || {
        let calls = world.sco.fake.calls().split_off(before);
        calls.iter().filter(|call| call.starts_with("apply network")).count()
    };
    world.until("every network is told", async || networks() >= 10).await;
    world.until_settled().await;
    world.until("the cluster has left", async || world.b.fake.keys().len() == 2).await;
    assert!(!world.sco.fake.object("network/s/n1").unwrap().body.contains("\"b\""));
    assert_eq!(networks(), 10, "{:?}", world.sco.fake.calls());
}

#[tokio::test]
async fn a_cluster_that_joins_gets_every_network_that_spans_the_slice() {
    let mut world = World::empty().await;
    world.create_clusters().await;
    world.create_slice(samples::slice("s", &["a"])).await.unwrap();
    world.create_network(samples::network("s", "n")).await.unwrap();
    world.until_settled().await;
    update_slice(&mut world, |spec| {
        spec.clusters.extend(samples::slice("s", &["b"]).spec.unwrap().clusters);
    })
    .await;
    world.until("it is there", async || world.b.fake.object("network/s/n").is_some()).await;
    world.until_settled().await;
    assert!(world.sco.fake.object("network/s/n").unwrap().body.contains("\"b\""));
}

#[tokio::test]
async fn labels_tell_slices_who_avoids_transit() {
    let mut world = World::with_slice().await;
    update_slice(&mut world, |spec| {
        spec.clusters[0].transit_labels = [("size".to_owned(), "large".to_owned())].into();
    })
    .await;
    world.until_settled().await;
    let avoided = |world: &World| {
        let body = world.a.fake.object("slice/s").unwrap().body;
        let avoided = body.split_once("avoid_transit: ").unwrap().1;
        avoided.split_inclusive(']').next().unwrap().to_owned()
    };
    assert_eq!(avoided(&world), "[\"n1\", \"n2\"]");
    let before = world.a.fake.calls().len();
    update_cluster(&mut world, "a", false, |nodes| {
        nodes[0].labels = [("size".to_owned(), "large".to_owned())].into();
    })
    .await
    .unwrap();
    world.until("the slice follows", async || avoided(&world) == "[\"n2\"]").await;
    world.until_settled().await;
    assert_eq!(world.a.fake.calls().split_off(before), ["apply slice/s"]);
    let shown = world.cluster("a").await.unwrap().spec.unwrap();
    assert_eq!(shown.nodes[0].labels["size"], "large");
}

#[tokio::test]
async fn a_node_with_ports_or_a_gateway_that_a_link_names_cannot_go() {
    let mut world = World::with_port().await;
    world.attach(samples::port("s", "n", "q", "a", "n2")).await.unwrap();
    world.until_settled().await;
    let refused = update_cluster(&mut world, "a", false, |nodes| nodes.truncate(1)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("port s/n/q"), "{refused}");

    update_slice(&mut world, |spec| {
        spec.links = vec![api::Link { gateway_b: "n1".to_owned(), ..link("a", "b", 1) }];
    })
    .await;
    let refused = update_cluster(&mut world, "b", false, |nodes| {
        let gateway = nodes[0].gateway.take().unwrap();
        nodes[1].gateway =
            Some(api::Gateway { underlay_address: "10.0.0.2".to_owned(), ..gateway });
    })
    .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("slice.spec.links[0].gateway_b"), "{refused}");
}

#[tokio::test]
async fn a_node_that_never_answers_is_given_up_by_force() {
    let mut world = World::with_slice().await;
    world.a.fake.set_lingering(true);
    let without = |nodes: &mut Vec<api::Node>| nodes.retain(|node| node.name != "n2");
    update_cluster(&mut world, "a", false, without).await.unwrap();
    world.until_status("cluster", "a", "false", "node n2 is still there").await;
    assert!(world.a.fake.object("node/n2").is_some());
    update_cluster(&mut world, "a", true, without).await.unwrap();
    world.until("it is gone", async || world.a.fake.object("node/n2").is_none()).await;
    world.until_settled().await;

    // If it returns, it is a node like any other.
    let back = |nodes: &mut Vec<api::Node>| nodes.push(samples::node("n2", 2, None));
    update_cluster(&mut world, "a", false, back).await.unwrap();
    world.until_settled().await;
    update_cluster(&mut world, "a", false, without).await.unwrap();
    world.until_status("cluster", "a", "false", "node n2 is still there").await;
}

#[tokio::test]
async fn a_port_that_is_being_deleted_does_not_keep_a_node_that_is_given_up() {
    let mut world = World::with_slice().await;
    world.create_network(samples::network("s", "n")).await.unwrap();
    world.attach(samples::port("s", "n", "p", "a", "n2")).await.unwrap();
    world.until_settled().await;
    world.a.fake.set_lingering(true);
    let without = |nodes: &mut Vec<api::Node>| nodes.retain(|node| node.name != "n2");
    let refused = async |world: &mut World, force| {
        let refused = update_cluster(world, "a", force, without).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("has port s/n/p on node 'n2'"), "{refused}");
    };
    refused(&mut world, true).await;
    world.detach("p").await.unwrap();
    world.until_status("port", "p", "false", "cluster a: the port is still there").await;
    refused(&mut world, false).await;
    update_cluster(&mut world, "a", true, without).await.unwrap();
    world.until("it is gone", async || world.a.fake.object("node/n2").is_none()).await;
}
