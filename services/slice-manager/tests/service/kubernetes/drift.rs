//! Custom resources that others change.

use kube::api::DeleteParams;
use l2sces_custom_resources::{L2Network, NetworkEdgeDevice, Overlay};
use l2sces_proto::slice::v1 as api;
use serde_json::json;

use super::world::{Kubernetes, OLD_KEY};

fn with_cidr(cidr: &str) -> serde_json::Value {
    json!({"spec": {"networkCIDR": cidr}})
}

async fn cidr(kubernetes: &Kubernetes) -> Option<String> {
    kubernetes.api::<L2Network>().get("n").await.unwrap().spec.network_cidr
}

#[tokio::test]
async fn drift_is_mended() {
    let mut kubernetes = Kubernetes::with_network(api::DriftPolicy::Mend).await;
    kubernetes.change::<L2Network>("n", with_cidr("10.66.0.0/24")).await;
    kubernetes
        .world
        .until("the CIDR is as it was", async || {
            cidr(&kubernetes).await.as_deref() == Some("10.1.0.0/24")
        })
        .await;
    // Also what changed while nobody looked.
    kubernetes.world.manager.kill();
    let nodes = json!({"spec": {"topology": {"nodes": ["k2"]}}});
    kubernetes.change::<Overlay>("s", nodes).await;
    kubernetes.restart_with_keys(&[OLD_KEY]).await;
    kubernetes
        .world
        .until("the nodes are as they were", async || {
            let overlay = kubernetes.api::<Overlay>().get("s").await.unwrap();
            overlay.spec.topology.unwrap().nodes == ["k1", "k2"]
        })
        .await;
    kubernetes.operator_is_content().await;
    kubernetes.world.until_settled().await;

    // And what is lost, be it one of several.
    let gone = DeleteParams::default();
    kubernetes.api::<NetworkEdgeDevice>().delete("s-ned", &gone).await.unwrap();
    kubernetes.api::<L2Network>().delete("n", &gone).await.unwrap();
    kubernetes.operator_is_content().await;
    kubernetes.world.until_settled().await;
}

#[tokio::test]
async fn drift_is_reported() {
    let mut kubernetes = Kubernetes::with_network(api::DriftPolicy::Report).await;
    kubernetes.change::<L2Network>("n", with_cidr("10.66.0.0/24")).await;
    kubernetes.say::<L2Network>("n", true, "ready").await;
    let drifted = "L2Network n was changed by others";
    kubernetes.world.until_status("network", "n", "false", drifted).await;
    // Another process sees it too, and leaves it.
    kubernetes.restart_with_keys(&[OLD_KEY]).await;
    kubernetes.world.create_network(crate::samples::network("s", "m")).await.unwrap();
    kubernetes.until_there::<L2Network>("m").await;
    kubernetes.world.until_status("network", "n", "false", drifted).await;
    assert_eq!(cidr(&kubernetes).await.as_deref(), Some("10.66.0.0/24"));

    kubernetes.change::<L2Network>("n", with_cidr("10.1.0.0/24")).await;
    kubernetes.say::<L2Network>("n", true, "ready").await;
    kubernetes.world.until_status("network", "n", "true", "").await;
}
