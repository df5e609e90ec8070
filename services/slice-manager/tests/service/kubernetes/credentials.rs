//! Whom the slice-manager acts as: given once, kept sealed, never shown.

use l2sces_proto::slice::v1 as api;
use tonic::{Code, Status};

use super::world::{Kubernetes, MANAGER, NEW_KEY, NEXT, OLD_KEY, driver};
use crate::world::code;

async fn update(kubernetes: &mut Kubernetes, cluster: api::Cluster) -> Result<i64, Status> {
    let request = api::UpdateClusterRequest { cluster: Some(cluster), ..Default::default() };
    let updated = kubernetes.world.manager.clusters.update_cluster(request).await?.into_inner();
    Ok(updated.cluster.unwrap().metadata.unwrap().generation)
}

/// Everything that is in the database, as text.
async fn everything(kubernetes: &Kubernetes) -> String {
    let rows: Vec<String> = sqlx::query_scalar(
        "select spec::text || status::text from resource \
         union all select id || encode(digest, 'escape') || response::text from request",
    )
    .fetch_all(&kubernetes.world.database)
    .await
    .unwrap();
    rows.concat()
}

async fn sealed_by(kubernetes: &Kubernetes, key: &str) -> bool {
    everything(kubernetes).await.contains(&format!("\"key\": \"{key}\""))
}

#[tokio::test]
async fn a_token_is_never_shown_and_can_be_replaced() {
    let mut kubernetes = Kubernetes::empty().await;
    let wrong = kubernetes.cluster("a-wrong-token");
    let request = api::CreateClusterRequest {
        cluster: Some(wrong),
        request_id: "once".to_owned(),
        ..Default::default()
    };
    let created = kubernetes.world.manager.clusters.create_cluster(request).await.unwrap();
    let mut shown = created.into_inner().cluster.unwrap();
    kubernetes.world.until_status("cluster", "k", "unknown", "Unauthorized").await;

    assert_eq!(driver(&mut shown).bearer_token, "");
    let right = kubernetes.cluster(MANAGER);
    assert_eq!(update(&mut kubernetes, right.clone()).await.unwrap(), 2);
    kubernetes.world.until_status("cluster", "k", "true", "").await;
    // Neither the same token nor none is a change.
    assert_eq!(update(&mut kubernetes, right).await.unwrap(), 2);
    let mut shown = kubernetes.world.cluster("k").await.unwrap();
    assert_eq!(driver(&mut shown).bearer_token, "");
    shown.metadata = crate::samples::named("k");
    assert_eq!(update(&mut kubernetes, shown.clone()).await.unwrap(), 2);
    let rotated = kubernetes.cluster(NEXT);
    assert_eq!(update(&mut kubernetes, rotated).await.unwrap(), 3);
    kubernetes.world.until_status("cluster", "k", "true", "").await;

    // It is not sent to where it was not given for.
    driver(&mut shown).api_endpoint = "https://127.0.0.1:1".to_owned();
    let refused = update(&mut kubernetes, shown).await;
    assert_eq!(code(refused), Code::InvalidArgument);
    let everything = everything(&kubernetes).await;
    for token in ["a-wrong-token", MANAGER, NEXT] {
        assert!(!everything.contains(token));
    }
}

#[tokio::test]
async fn keys_are_rotated() {
    let mut kubernetes = Kubernetes::with_network(api::DriftPolicy::Mend).await;
    assert!(sealed_by(&kubernetes, "old").await);
    kubernetes.restart_with_keys(&[NEW_KEY, OLD_KEY]).await;
    kubernetes.world.until("it is sealed anew", async || sealed_by(&kubernetes, "new").await).await;
    assert!(!sealed_by(&kubernetes, "old").await);
    kubernetes.restart_with_keys(&[NEW_KEY]).await;
    kubernetes.world.create_network(crate::samples::network("s", "m")).await.unwrap();
    kubernetes.until_there::<l2sces_custom_resources::L2Network>("m").await;

    kubernetes.restart_with_keys(&[OLD_KEY]).await;
    let message = "sealed with key new, which --encryption-key-file lacks";
    kubernetes.world.until_status("cluster", "k", "unknown", message).await;
}

#[tokio::test]
async fn without_a_key_there_are_no_kubernetes_clusters() {
    let mut kubernetes = Kubernetes::empty().await;
    kubernetes.world.restart().await;
    let refused = kubernetes.world.create_cluster(kubernetes.cluster(MANAGER)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("--encryption-key-file"), "{refused:?}");
}
