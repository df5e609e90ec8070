//! Pods, which only their cluster's operator knows: what would take their interfaces is refused.

use l2sces_custom_resources::L2Network;
use l2sces_proto::slice::v1 as api;
use tonic::{Code, Status};

use super::{
    MEND,
    world::{Kubernetes, OLD_KEY},
};
use crate::samples;

async fn delete_network(kubernetes: &mut Kubernetes, force: bool) -> Result<(), Status> {
    let (slice, name) = ("s".to_owned(), "n".to_owned());
    let request = api::DeleteNetworkRequest { slice, name, force, ..Default::default() };
    kubernetes.world.manager.networks.delete_network(request).await.map(drop)
}

/// Takes cluster k out of network `n`.
async fn shrink_network(kubernetes: &mut Kubernetes, force: bool) -> Result<(), Status> {
    let mut network = samples::network("s", "n");
    network.spec.as_mut().unwrap().clusters = vec!["a".to_owned()];
    let request = api::UpdateNetworkRequest { network: Some(network), force, ..Default::default() };
    kubernetes.world.manager.networks.update_network(request).await.map(drop)
}

/// Takes cluster k out of the slice.
async fn shrink_slice(kubernetes: &mut Kubernetes, force: bool) -> Result<(), Status> {
    let slice = Some(samples::slice("s", &["a"]));
    let request = api::UpdateSliceRequest { slice, force, ..Default::default() };
    kubernetes.world.manager.slices.update_slice(request).await.map(drop)
}

fn assert_kept(answer: Result<(), Status>, reason: &str) {
    let refused = answer.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains(reason), "{refused:?}");
}

async fn assert_all_kept(kubernetes: &mut Kubernetes, pods: &str) {
    let reason = format!("network s/n has {pods}: delete them first, or use force");
    assert_kept(delete_network(kubernetes, false).await, &reason);
    assert_kept(shrink_network(kubernetes, false).await, &reason);
    let reason = format!("slice s has network s/n, which has {pods}: delete them first");
    assert_kept(shrink_slice(kubernetes, false).await, &reason);
}

#[tokio::test]
async fn pods_keep_their_network_and_their_cluster() {
    let mut kubernetes = Kubernetes::with_network(MEND).await;
    kubernetes.until_pods(&[]).await;
    kubernetes.count_pods(3).await;
    kubernetes.until_pods(&[("k", 3)]).await;
    assert_all_kept(&mut kubernetes, "3 pods in cluster 'k'").await;

    // What a cluster has told last counts while it is away, also for another process.
    kubernetes.server.stop();
    let away = "the API server of cluster k does not answer";
    kubernetes.world.until_status("network", "n", "unknown", away).await;
    kubernetes.restart_with_keys(&[OLD_KEY]).await;
    kubernetes.until_pods(&[("k", 3)]).await;
    assert_all_kept(&mut kubernetes, "3 pods in cluster 'k'").await;
    kubernetes.server.restart().await.unwrap();
    kubernetes.world.until_settled().await;

    kubernetes.world.attach(samples::port("s", "n", "p", "a", "n1")).await.unwrap();
    let both = "has 1 ports, and 3 pods in cluster 'k': remove them first, or use force";
    assert_kept(delete_network(&mut kubernetes, false).await, both);
    kubernetes.world.detach("p").await.unwrap();

    kubernetes.count_pods(0).await;
    kubernetes.until_pods(&[]).await;
    delete_network(&mut kubernetes, false).await.unwrap();
    kubernetes.world.until_left(&["cluster a", "cluster k", "slice s"]).await;
    assert!(kubernetes.api::<L2Network>().get_opt("n").await.unwrap().is_none());
}

#[tokio::test]
async fn pods_lose_a_cluster_or_network_by_force() {
    let mut kubernetes = Kubernetes::with_network(MEND).await;
    kubernetes.count_pods(2).await;
    kubernetes.until_pods(&[("k", 2)]).await;
    shrink_network(&mut kubernetes, true).await.unwrap();
    kubernetes.until_pods(&[]).await;
    kubernetes.world.until_settled().await;
    assert_eq!(kubernetes.resources().await, ["Overlay s", "NetworkEdgeDevice s-ned"]);
    // It spans all clusters of the slice again.
    let network = Some(samples::network("s", "n"));
    let request = api::UpdateNetworkRequest { network, ..Default::default() };
    kubernetes.world.manager.networks.update_network(request).await.unwrap();
    kubernetes.operator_is_content().await;
    kubernetes.count_pods(2).await;
    kubernetes.until_pods(&[("k", 2)]).await;
    assert_kept(shrink_slice(&mut kubernetes, false).await, "2 pods in cluster 'k'");
    shrink_slice(&mut kubernetes, true).await.unwrap();
    kubernetes.until_pods(&[]).await;
    kubernetes.world.until_settled().await;
    assert_eq!(kubernetes.resources().await, [""; 0]);
    delete_network(&mut kubernetes, true).await.unwrap();
    kubernetes.world.until_left(&["cluster a", "cluster k", "slice s"]).await;
}
