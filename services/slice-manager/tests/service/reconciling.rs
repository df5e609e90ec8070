//! Desired state reaches the services downstream, and what they say comes back.

use l2sces_proto::{
    resource::v1::{Condition, ConditionStatus},
    slice::v1 as api,
};
use tonic::Status;

use crate::{
    fake::Addresses,
    samples,
    world::{World, readiness},
};

#[tokio::test]
async fn everything_is_made_and_ready() {
    let mut world = World::with_port().await;
    assert_eq!(world.a.fake.keys(), ["network/s/n", "node/n1", "node/n2", "port/s/n/p", "slice/s"]);
    assert_eq!(world.b.fake.keys(), ["network/s/n", "node/n1", "node/n2", "slice/s"]);
    assert_eq!(world.sco.fake.keys(), ["gateway/a/n1", "gateway/b/n1", "network/s/n", "slice/s"]);

    let number = world.sco.fake.object("network/s/n").unwrap().number;
    let network = world.network("n").await.unwrap().status.unwrap();
    assert_eq!((network.vni, network.mtu), (1_000 + number, 1_438));
    assert_eq!(readiness(&network.conditions), (ConditionStatus::True, String::new()));
    let body = world.b.fake.object("network/s/n").unwrap().body;
    assert!(body.contains(&format!("vni: {}", 1_000 + number)), "{body}");
    assert!(body.contains("cidr: \"10.1.0.0/24\""), "{body}");

    let number = world.a.fake.object("port/s/n/p").unwrap().number;
    let port = world.port("p").await.unwrap().status.unwrap();
    assert_eq!(port.address, format!("10.1.0.{number}/24"));
    assert_eq!(port.interface_name, format!("l2p-{number}"));

    let cluster = world.cluster("a").await.unwrap().status.unwrap();
    assert_eq!(readiness(&cluster.conditions).0, ConditionStatus::True);
    assert!(cluster.nodes.iter().all(|node| node.ready));
    assert_eq!(cluster.nodes.len(), 2);
}

#[tokio::test]
async fn a_settled_object_is_not_sent_again() {
    let mut world = World::with_port().await;
    let calls = world.a.fake.calls();
    world.attach(samples::port("s", "n", "q", "a", "n2")).await.unwrap();
    world.until_settled().await;
    let mut expected = calls;
    expected.push("apply port/s/n/q".to_owned());
    assert_eq!(world.a.fake.calls(), expected);
}

#[tokio::test]
async fn conditions_follow_the_watch_and_say_what_is_not_ready() {
    let world = World::with_port().await;
    world.b.fake.set_state("node/n2", false, "switch is not connected");
    world.until_status("cluster", "b", "false", "node n2: switch is not connected").await;
    world.b.fake.set_state("slice/s", false, "node n2: switch is not connected");
    let message = "cluster b: node n2: switch is not connected";
    world.until_status("slice", "s", "false", message).await;
    world.sco.fake.set_state("network/s/n", false, "gateway a/n1: no session");
    world.until_status("network", "n", "false", "between clusters: gateway a/n1: no session").await;
    world.a.fake.set_state("port/s/n/p", false, "no such namespace");
    world.until_status("port", "p", "false", "cluster a: no such namespace").await;

    world.b.fake.set_state("node/n2", true, "");
    world.b.fake.set_state("slice/s", true, "");
    world.sco.fake.set_state("network/s/n", true, "");
    world.a.fake.set_state("port/s/n/p", true, "");
    world.until_settled().await;
}

#[tokio::test]
async fn a_refusal_is_shown_and_overcome_and_blocks_nobody() {
    let mut world = World::with_slice().await;
    world.sco.fake.refuse("apply network/s/bad", Status::resource_exhausted("no VNI is left"));
    world.create_network(samples::network("s", "bad")).await.unwrap();
    world.until_status("network", "bad", "false", "between clusters: no VNI is left").await;
    let network = world.network("bad").await.unwrap().status.unwrap();
    assert_eq!(network.conditions[0].reason, "ResourceExhausted");

    world.create_network(samples::network("s", "n")).await.unwrap();
    world.until_status("network", "n", "true", "").await;
    world.sco.fake.relent();
    world.until_settled().await;
}

#[tokio::test]
async fn a_changed_node_is_sent_and_no_other() {
    let mut world = World::with_slice().await;
    let before = world.a.fake.calls().len();
    let mut cluster = world.cluster("a").await.unwrap();
    cluster.spec.as_mut().unwrap().nodes[1].underlay_address = "10.0.0.9".to_owned();
    let request = api::UpdateClusterRequest { cluster: Some(cluster), ..Default::default() };
    world.manager.clusters.update_cluster(request).await.unwrap();
    world.until_settled().await;
    let nodes: Vec<_> = world.a.fake.calls()[before..]
        .iter()
        .filter(|call| call.starts_with("apply node/"))
        .cloned()
        .collect();
    assert_eq!(nodes, ["apply node/n2"]);
    assert!(world.a.fake.object("node/n2").unwrap().body.contains("10.0.0.9"));
}

#[tokio::test]
async fn nodes_come_and_go_and_slices_follow() {
    let mut world = World::with_slice().await;
    let mut cluster = world.cluster("a").await.unwrap();
    cluster.spec.as_mut().unwrap().nodes.push(samples::node("n3", 3, None));
    let request = api::UpdateClusterRequest { cluster: Some(cluster), ..Default::default() };
    world.manager.clusters.update_cluster(request).await.unwrap();
    world
        .until("the slice has the new node", async || {
            world.a.fake.object("slice/s").unwrap().body.contains("n3")
        })
        .await;
    world.until_settled().await;

    let mut cluster = world.cluster("a").await.unwrap();
    cluster.spec.as_mut().unwrap().nodes.retain(|node| node.name != "n2");
    let request = api::UpdateClusterRequest { cluster: Some(cluster), ..Default::default() };
    world.manager.clusters.update_cluster(request).await.unwrap();
    world.until_settled().await;
    world.until("the node is gone", async || world.a.fake.object("node/n2").is_none()).await;
    world
        .until("the slice is without it", async || {
            !world.a.fake.object("slice/s").unwrap().body.contains("n2")
        })
        .await;
}

#[tokio::test]
async fn a_cluster_leaves_a_slice_with_all_that_was_in_it() {
    let mut world = World::with_port().await;
    let mut slice = world.slice("s").await.unwrap();
    slice.spec.as_mut().unwrap().clusters.retain(|part| part.cluster == "a");
    let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
    world.manager.slices.update_slice(request).await.unwrap();
    world
        .until("nothing of the slice is left in the cluster", async || {
            world.b.fake.keys() == ["node/n1", "node/n2"]
        })
        .await;
    world.until_settled().await;
    assert!(!world.sco.fake.object("network/s/n").unwrap().body.contains("\"b\""));
    assert_eq!(world.a.fake.keys(), ["network/s/n", "node/n1", "node/n2", "port/s/n/p", "slice/s"]);

    world.delete_cluster("b").await.unwrap();
    world.until_left(&["cluster a", "network s n", "port s n p", "slice s"]).await;
    assert!(world.b.fake.keys().is_empty());
    assert_eq!(world.sco.fake.keys(), ["gateway/a/n1", "network/s/n", "slice/s"]);
}

#[tokio::test]
async fn a_port_tells_what_was_learned_behind_it_and_what_is_elsewhere() {
    let mut world = World::with_port().await;
    let mut wanted = samples::port("s", "n", "q", "a", "n2");
    wanted.spec.as_mut().unwrap().max_learned_addresses = 3;
    world.attach(wanted).await.unwrap();
    world.until_settled().await;
    let body = world.a.fake.object("port/s/n/q").unwrap().body;
    assert!(body.contains("max_learned_addresses: 3"), "{body}");
    let port = world.port("q").await.unwrap();
    assert_eq!(port.spec.unwrap().max_learned_addresses, 3);
    let conflict = |status: &api::PortStatus| {
        let of = |condition: &&Condition| condition.r#type == "AddressConflict";
        let found = status.conditions.iter().find(of)?;
        Some((found.status(), found.message.clone()))
    };
    let status = port.status.unwrap();
    assert_eq!((status.learned_macs.len(), conflict(&status)), (0, None));

    let see = |learned: &[&str], conflicts: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let addresses = Addresses { learned: texts(learned), conflicts: texts(conflicts) };
        world.a.fake.set_addresses("port/s/n/q", addresses);
    };
    let until = async |learned: &[&str], told: Option<(ConditionStatus, &str)>| {
        let told = told.map(|(status, message)| (status, message.to_owned()));
        world
            .until(&format!("{learned:?} and {told:?} are shown"), async || {
                let mut networks = world.manager.networks.clone();
                let request = api::GetPortRequest {
                    slice: "s".to_owned(),
                    network: "n".to_owned(),
                    name: "q".to_owned(),
                };
                let port = networks.get_port(request).await.unwrap().into_inner().port.unwrap();
                let status = port.status.unwrap();
                // A conflict says nothing of readiness.
                assert_eq!(readiness(&status.conditions).0, ConditionStatus::True);
                status.learned_macs == learned && conflict(&status) == told
            })
            .await;
    };
    see(&["02:00:00:00:00:08"], &[]);
    until(&["02:00:00:00:00:08"], None).await;
    see(&["02:00:00:00:00:08"], &["it is at p", "so is the other"]);
    let message = "it is at p; so is the other";
    until(&["02:00:00:00:00:08"], Some((ConditionStatus::True, message))).await;
    see(&[], &[]);
    until(&[], Some((ConditionStatus::False, ""))).await;
}
