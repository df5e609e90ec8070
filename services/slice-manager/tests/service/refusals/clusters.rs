use l2sces_proto::slice::v1 as api;
use tonic::Code;

use super::{Case, case, check};
use crate::{manager::Manager, samples};

fn create_cluster(spoil: fn(&mut api::Cluster)) -> api::CreateClusterRequest {
    let mut cluster = samples::cluster("c", "http://127.0.0.1:1");
    spoil(&mut cluster);
    api::CreateClusterRequest { cluster: Some(cluster), ..Default::default() }
}

fn update_cluster(spoil: fn(&mut api::Cluster)) -> api::UpdateClusterRequest {
    let mut cluster = samples::cluster("a", "http://127.0.0.1:1");
    spoil(&mut cluster);
    api::UpdateClusterRequest { cluster: Some(cluster), ..Default::default() }
}

fn spec(cluster: &mut api::Cluster) -> &mut api::ClusterSpec {
    cluster.spec.as_mut().unwrap()
}

#[tokio::test]
async fn clusters() {
    check(vec![
        case!(
            "nothing",
            clusters.create_cluster(api::CreateClusterRequest::default()),
            InvalidArgument,
            ["cluster"]
        ),
        case!(
            "no DNS label",
            clusters.create_cluster(create_cluster(|cluster| {
                cluster.metadata = samples::named("C.example");
            })),
            InvalidArgument,
            ["cluster.metadata.name"]
        ),
        case!(
            "many errors",
            clusters.create_cluster(create_cluster(|cluster| {
                cluster.metadata = None;
                spec(cluster).driver = None;
                spec(cluster).nodes[0].underlay_address = "224.0.0.1".to_owned();
                spec(cluster).nodes[1].name = "n1".to_owned();
            })),
            InvalidArgument,
            [
                "cluster.metadata.name",
                "cluster.spec.direct",
                "cluster.spec.nodes[0].underlay_address",
                "cluster.spec.nodes[1].name",
            ]
        ),
        case!(
            "in use",
            clusters.create_cluster(create_cluster(|cluster| {
                cluster.metadata = samples::named("a");
            })),
            AlreadyExists,
            []
        ),
        case!(
            "a request id with a NUL",
            clusters.create_cluster(api::CreateClusterRequest {
                request_id: "\0".to_owned(),
                ..create_cluster(|_| {})
            }),
            InvalidArgument,
            ["request_id"]
        ),
        case!(
            "a long request id",
            clusters.create_cluster(api::CreateClusterRequest {
                request_id: "x".repeat(129),
                ..create_cluster(|_| {})
            }),
            InvalidArgument,
            ["request_id"]
        ),
        case!(
            "no DNS label",
            clusters.get_cluster(api::GetClusterRequest { name: "A".to_owned() }),
            InvalidArgument,
            ["name"]
        ),
        case!(
            "unknown",
            clusters.get_cluster(api::GetClusterRequest { name: "x".to_owned() }),
            NotFound,
            []
        ),
        case!(
            "negative size",
            clusters
                .list_clusters(api::ListClustersRequest { page_size: -1, ..Default::default() }),
            InvalidArgument,
            ["page_size"]
        ),
        case!(
            "bad token",
            clusters.list_clusters(api::ListClustersRequest {
                page_token: "abc".to_owned(),
                ..Default::default()
            }),
            InvalidArgument,
            ["page_token"]
        ),
        case!(
            "nothing",
            clusters.update_cluster(api::UpdateClusterRequest::default()),
            InvalidArgument,
            ["cluster"]
        ),
        case!(
            "unknown",
            clusters.update_cluster(update_cluster(|cluster| {
                cluster.metadata = samples::named("x");
            })),
            NotFound,
            []
        ),
        case!(
            "a bad endpoint",
            clusters.update_cluster(update_cluster(|cluster| {
                spec(cluster).nodes[0].agent_endpoint = "n1".to_owned();
            })),
            InvalidArgument,
            ["cluster.spec.nodes[0].agent_endpoint"]
        ),
        case!(
            "a node with a port goes",
            clusters.update_cluster(update_cluster(|cluster| {
                spec(cluster).nodes[0].name = "n9".to_owned();
            })),
            FailedPrecondition,
            []
        ),
        case!(
            "the gateway of a slice goes",
            clusters.update_cluster(update_cluster(|cluster| {
                spec(cluster).nodes[0].gateway = None;
            })),
            FailedPrecondition,
            []
        ),
        case!(
            "old etag",
            clusters.update_cluster(update_cluster(|cluster| {
                cluster.metadata.as_mut().unwrap().etag = "old".to_owned();
            })),
            Aborted,
            []
        ),
        case!(
            "no DNS label",
            clusters.delete_cluster(api::DeleteClusterRequest::default()),
            InvalidArgument,
            ["name"]
        ),
        case!(
            "unknown",
            clusters.delete_cluster(api::DeleteClusterRequest {
                name: "x".to_owned(),
                ..Default::default()
            }),
            NotFound,
            []
        ),
        case!(
            "of a slice",
            clusters.delete_cluster(api::DeleteClusterRequest {
                name: "a".to_owned(),
                ..Default::default()
            }),
            FailedPrecondition,
            []
        ),
        case!(
            "old etag",
            clusters.delete_cluster(api::DeleteClusterRequest {
                name: "a".to_owned(),
                etag: "old".to_owned(),
                ..Default::default()
            }),
            Aborted,
            []
        ),
        case!(
            "negative revision",
            clusters.watch_clusters(api::WatchClustersRequest { after_revision: -1 }),
            InvalidArgument,
            ["after_revision"]
        ),
        case!(
            "future revision",
            clusters.watch_clusters(api::WatchClustersRequest { after_revision: i64::MAX }),
            OutOfRange,
            []
        ),
    ])
    .await;
}
