use l2sces_proto::slice::v1 as api;
use tonic::Code;

use super::{Case, case, check};
use crate::{manager::Manager, samples};

fn create_slice(slice: api::Slice) -> api::CreateSliceRequest {
    api::CreateSliceRequest { slice: Some(slice), ..Default::default() }
}

fn update_slice(slice: api::Slice) -> api::UpdateSliceRequest {
    api::UpdateSliceRequest { slice: Some(slice), ..Default::default() }
}

fn with_part(spoil: fn(&mut api::SliceCluster)) -> api::Slice {
    let mut slice = samples::slice("t", &["a", "b"]);
    spoil(&mut slice.spec.as_mut().unwrap().clusters[0]);
    slice
}

fn with_links(links: Vec<api::Link>) -> api::Slice {
    let mut slice = samples::slice("t", &["a", "b"]);
    slice.spec.as_mut().unwrap().links = links;
    slice
}

fn link(a: &str, b: &str) -> api::Link {
    api::Link { endpoint_a: a.to_owned(), endpoint_b: b.to_owned(), ..api::Link::default() }
}

fn with_manager(manager: &str) -> api::Slice {
    let mut slice = samples::slice("t", &["a", "b"]);
    slice.metadata.as_mut().unwrap().managed_by = manager.to_owned();
    slice
}

#[tokio::test]
async fn slices() {
    check(vec![
        case!(
            "nothing",
            slices.create_slice(api::CreateSliceRequest::default()),
            InvalidArgument,
            ["slice"]
        ),
        case!(
            "managed by too much",
            slices.create_slice(create_slice(with_manager(&"m".repeat(513)))),
            InvalidArgument,
            ["slice.metadata.managed_by"]
        ),
        case!(
            "managed by what no database keeps",
            slices.create_slice(create_slice(with_manager("m\0"))),
            InvalidArgument,
            ["slice.metadata.managed_by"]
        ),
        case!(
            "no clusters",
            slices.create_slice(create_slice(samples::slice("t", &[]))),
            InvalidArgument,
            ["slice.spec.clusters"]
        ),
        case!(
            "unknown cluster",
            slices.create_slice(create_slice(samples::slice("t", &["a", "x"]))),
            InvalidArgument,
            ["slice.spec.clusters[1].cluster"]
        ),
        case!(
            "one cluster twice",
            slices.create_slice(create_slice(samples::slice("t", &["a", "a"]))),
            InvalidArgument,
            ["slice.spec.clusters[1].cluster"]
        ),
        case!(
            "unknown node",
            slices.create_slice(create_slice(with_part(|part| {
                part.nodes = vec!["n1".to_owned(), "n9".to_owned()];
            }))),
            InvalidArgument,
            ["slice.spec.clusters[0].nodes[1]"]
        ),
        case!(
            "no gateway",
            slices.create_slice(create_slice(with_part(|part| {
                part.nodes = vec!["n2".to_owned()];
            }))),
            InvalidArgument,
            ["slice.spec.clusters[0].nodes"]
        ),
        case!(
            "a link to itself",
            slices.create_slice(create_slice(with_part(|part| {
                part.links = vec![link("n1", "n1")];
            }))),
            InvalidArgument,
            ["slice.spec.clusters[0].links[0]"]
        ),
        case!(
            "a link to nowhere",
            slices.create_slice(create_slice(with_part(|part| {
                part.links = vec![link("n1", "n9")];
            }))),
            InvalidArgument,
            ["slice.spec.clusters[0].links[0].endpoint_b"]
        ),
        case!(
            "a link between nodes that ends on a gateway",
            slices.create_slice(create_slice(with_part(|part| {
                part.links = vec![api::Link { gateway_a: "n1".to_owned(), ..link("n1", "n2") }];
            }))),
            InvalidArgument,
            ["slice.spec.clusters[0].links[0].gateway_a"]
        ),
        case!(
            "a link that costs too much",
            slices.create_slice(create_slice(with_part(|part| {
                part.links = vec![api::Link { cost: 65_536, ..link("n1", "n2") }];
            }))),
            InvalidArgument,
            ["slice.spec.clusters[0].links[0].cost"]
        ),
        case!(
            "labels that are none",
            slices.create_slice(create_slice(with_part(|part| {
                part.transit_labels = [("-".to_owned(), String::new())].into();
            }))),
            InvalidArgument,
            ["slice.spec.clusters[0].transit_labels[\"-\"]"]
        ),
        case!(
            "a link that ends on no gateway, and one twice",
            slices.create_slice(create_slice(with_links(vec![
                api::Link { gateway_a: "n2".to_owned(), ..link("a", "b") },
                api::Link { gateway_b: "n9".to_owned(), ..link("a", "b") },
            ]))),
            InvalidArgument,
            ["slice.spec.links[0].gateway_a", "slice.spec.links[1].gateway_b"]
        ),
        case!(
            "a link between clusters twice",
            slices.create_slice(create_slice(with_links(vec![
                api::Link { gateway_a: "n1".to_owned(), ..link("a", "b") },
                api::Link { gateway_b: "n1".to_owned(), ..link("b", "a") },
            ]))),
            InvalidArgument,
            ["slice.spec.links[1]"]
        ),
        case!(
            "in use",
            slices.create_slice(create_slice(samples::slice("s", &["a"]))),
            AlreadyExists,
            []
        ),
        case!(
            "no DNS label",
            slices.get_slice(api::GetSliceRequest::default()),
            InvalidArgument,
            ["name"]
        ),
        case!(
            "unknown",
            slices.get_slice(api::GetSliceRequest { name: "x".to_owned() }),
            NotFound,
            []
        ),
        case!(
            "bad token",
            slices.list_slices(api::ListSlicesRequest {
                page_token: "00".to_owned(),
                ..Default::default()
            }),
            InvalidArgument,
            ["page_token"]
        ),
        case!(
            "unknown",
            slices.update_slice(update_slice(samples::slice("x", &["a"]))),
            NotFound,
            []
        ),
        case!(
            "unknown cluster",
            slices.update_slice(update_slice(samples::slice("s", &["x"]))),
            InvalidArgument,
            ["slice.spec.clusters[0].cluster"]
        ),
        case!(
            "a cluster with a port goes",
            slices.update_slice(update_slice(samples::slice("s", &["b"]))),
            FailedPrecondition,
            []
        ),
        case!(
            "unknown",
            slices.delete_slice(api::DeleteSliceRequest {
                name: "x".to_owned(),
                ..Default::default()
            }),
            NotFound,
            []
        ),
        case!(
            "with networks",
            slices.delete_slice(api::DeleteSliceRequest {
                name: "s".to_owned(),
                ..Default::default()
            }),
            FailedPrecondition,
            []
        ),
        case!(
            "old etag",
            slices.delete_slice(api::DeleteSliceRequest {
                name: "s".to_owned(),
                etag: "old".to_owned(),
                force: true,
                ..Default::default()
            }),
            Aborted,
            []
        ),
        case!(
            "negative revision",
            slices.watch_slices(api::WatchSlicesRequest { after_revision: -5 }),
            InvalidArgument,
            ["after_revision"]
        ),
    ])
    .await;
}
