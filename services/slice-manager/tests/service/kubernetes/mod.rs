//! Kubernetes clusters: a real API server, and the test as its operator.

mod credentials;
mod drift;
mod pods;
mod world;

use l2sces_custom_resources::{L2Network, NetworkEdgeDevice, Overlay};
use l2sces_proto::{resource::v1::ConditionStatus, slice::v1 as api};
use serde_json::json;
use tonic::Code;

use self::world::{Kubernetes, MANAGER};
use crate::{
    samples,
    world::{code, readiness},
};

const MEND: api::DriftPolicy = api::DriftPolicy::Mend;

#[tokio::test]
async fn a_slice_becomes_custom_resources_and_their_conditions_flow_back() {
    let mut kubernetes = Kubernetes::with_slice(MEND).await;
    kubernetes.world.until_status("slice", "s", "false", "the operator has not looked").await;
    let overlay = kubernetes.api::<Overlay>().get("s").await.unwrap();
    assert_eq!(overlay.spec.provider.name, "s");
    assert_eq!(overlay.spec.topology.unwrap().nodes, ["k1", "k2"]);
    let ned = kubernetes.api::<NetworkEdgeDevice>().get("s-ned").await.unwrap();
    let node = ned.spec.node_config.unwrap();
    assert_eq!((node.node_name.as_str(), node.ip_address.as_str()), ("k1", "10.9.0.1"));
    let neighbors: Vec<_> =
        ned.spec.neighbors.iter().map(|n| (n.node.as_str(), n.domain.as_str())).collect();
    assert_eq!(neighbors, [("a", "10.0.0.1")]);

    kubernetes.world.create_network(samples::network("s", "n")).await.unwrap();
    kubernetes.operator_is_content().await;
    kubernetes.world.until_settled().await;
    let network = kubernetes.api::<L2Network>().get("n").await.unwrap();
    assert_eq!(network.spec.provider.unwrap().name, "s");
    assert_eq!(network.spec.network_cidr.as_deref(), Some("10.1.0.0/24"));
    let stored = kubernetes.world.network("n").await.unwrap().status.unwrap();
    assert_eq!(readiness(&stored.conditions).0, ConditionStatus::True);
    // The other cluster of the slice is a direct one.
    assert!(kubernetes.world.a.fake.object("network/s/n").is_some());

    kubernetes.say::<L2Network>("n", false, "node k2: no switch").await;
    kubernetes.world.until_status("network", "n", "false", "L2Network n: node k2: no switch").await;
    kubernetes.say::<L2Network>("n", true, "ready").await;
    kubernetes.world.until_settled().await;

    kubernetes.world.delete_slice(true).await.unwrap();
    kubernetes.world.until_left(&["cluster a", "cluster k"]).await;
    assert_eq!(kubernetes.resources().await, [""; 0]);
    kubernetes.world.delete_cluster("k").await.unwrap();
    kubernetes.world.until_left(&["cluster a"]).await;
}

#[tokio::test]
async fn a_cluster_that_was_away_converges() {
    let mut kubernetes = Kubernetes::with_network(MEND).await;
    kubernetes.server.stop();
    let away = "the API server of cluster k does not answer";
    kubernetes.world.until_status("slice", "s", "unknown", away).await;
    kubernetes.world.until_status("cluster", "k", "unknown", away).await;
    // Meanwhile one network is no longer wanted, and another is; so is the process another.
    let delete = api::DeleteNetworkRequest {
        slice: "s".to_owned(),
        name: "n".to_owned(),
        ..Default::default()
    };
    kubernetes.world.manager.networks.delete_network(delete).await.unwrap();
    kubernetes.world.create_network(samples::network("s", "m")).await.unwrap();
    kubernetes.restart_with_keys(&[world::OLD_KEY]).await;

    kubernetes.server.restart().await.unwrap();
    kubernetes.until_there::<L2Network>("m").await;
    kubernetes.say::<L2Network>("m", true, "ready").await;
    kubernetes.world.until_settled().await;
    let there = ["Overlay s", "NetworkEdgeDevice s-ned", "L2Network m"];
    assert_eq!(kubernetes.resources().await, there);
}

#[tokio::test]
async fn what_the_slice_manager_has_not_made_is_not_touched() {
    let mut kubernetes = Kubernetes::with_slice(MEND).await;
    let own = json!({
        "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "L2Network",
        "metadata": {"name": "n"}, "spec": {"type": "vnet", "networkCIDR": "10.7.0.0/24"}
    });
    let own: L2Network = serde_json::from_value(own).unwrap();
    kubernetes.api::<L2Network>().create(&Default::default(), &own).await.unwrap();
    kubernetes.world.create_network(samples::network("s", "n")).await.unwrap();
    let message = "L2Network n in namespace default was not made by the slice-manager";
    kubernetes.world.until_status("network", "n", "false", message).await;
    kubernetes.world.delete_slice(true).await.unwrap();
    kubernetes.world.until_left(&["cluster a", "cluster k"]).await;
    let left = kubernetes.api::<L2Network>().get("n").await.unwrap();
    assert_eq!(left.spec, own.spec);
}

#[tokio::test]
async fn ports_of_a_kubernetes_cluster_are_pods() {
    let mut kubernetes = Kubernetes::with_network(MEND).await;
    let refused = kubernetes.world.attach(samples::port("s", "n", "p", "k", "k1")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("label a pod"), "{refused:?}");
    kubernetes.world.attach(samples::port("s", "n", "p", "a", "n1")).await.unwrap();
}

#[tokio::test]
async fn a_cluster_stays_in_its_namespace_while_it_has_something_there() {
    let mut kubernetes = Kubernetes::with_slice(MEND).await;
    let mut cluster = kubernetes.cluster(MANAGER);
    let Some(api::cluster_spec::Driver::Kubernetes(driver)) =
        cluster.spec.as_mut().and_then(|spec| spec.driver.as_mut())
    else {
        panic!("it is a cluster of Kubernetes")
    };
    driver.namespace = "apps".to_owned();
    let request = api::UpdateClusterRequest { cluster: Some(cluster), ..Default::default() };
    let update = kubernetes.world.manager.clusters.update_cluster(request.clone()).await;
    let refused = update.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("slice s in namespace default"), "{refused:?}");
    kubernetes.world.delete_slice(true).await.unwrap();
    kubernetes.world.until_left(&["cluster a", "cluster k"]).await;
    kubernetes.world.manager.clusters.update_cluster(request).await.unwrap();
}

#[tokio::test]
async fn a_driver_is_for_life() {
    let mut kubernetes = Kubernetes::with_slice(MEND).await;
    let mut direct = samples::cluster("k", "http://127.0.0.1:1");
    let request = api::UpdateClusterRequest { cluster: Some(direct.clone()), ..Default::default() };
    let updated = kubernetes.world.manager.clusters.update_cluster(request).await;
    assert_eq!(code(updated), Code::InvalidArgument);
    let described = kubernetes.cluster(MANAGER);
    direct = api::Cluster { metadata: samples::named("a"), ..described };
    let request = api::UpdateClusterRequest { cluster: Some(direct), ..Default::default() };
    let updated = kubernetes.world.manager.clusters.update_cluster(request).await;
    assert_eq!(code(updated), Code::InvalidArgument);
}
