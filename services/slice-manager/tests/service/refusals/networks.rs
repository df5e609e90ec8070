use l2sces_proto::slice::v1 as api;
use tonic::Code;

use super::{Case, case, check};
use crate::{manager::Manager, samples};

fn create_network(spoil: fn(&mut api::Network)) -> api::CreateNetworkRequest {
    let mut network = samples::network("s", "m");
    spoil(&mut network);
    api::CreateNetworkRequest { network: Some(network), ..Default::default() }
}

fn with_cidr(network: &mut api::Network, cidr: &str) {
    cidr.clone_into(&mut network.spec.as_mut().unwrap().cidr);
}

fn update_network(spoil: fn(&mut api::Network)) -> api::UpdateNetworkRequest {
    let mut network = samples::network("s", "n");
    spoil(&mut network);
    api::UpdateNetworkRequest { network: Some(network), ..Default::default() }
}

#[tokio::test]
async fn networks() {
    check(vec![
        case!(
            "nothing",
            networks.create_network(api::CreateNetworkRequest::default()),
            InvalidArgument,
            ["network"]
        ),
        case!(
            "no CIDR",
            networks.create_network(create_network(|network| {
                with_cidr(network, "10.1.0.0/40");
            })),
            InvalidArgument,
            ["network.spec.cidr"]
        ),
        case!(
            "host bits",
            networks.create_network(create_network(|network| {
                with_cidr(network, "10.1.0.1/24");
            })),
            InvalidArgument,
            ["network.spec.cidr"]
        ),
        case!(
            "too small",
            networks.create_network(create_network(|network| {
                with_cidr(network, "10.1.0.0/31");
            })),
            InvalidArgument,
            ["network.spec.cidr"]
        ),
        case!(
            "multicast",
            networks.create_network(create_network(|network| {
                with_cidr(network, "239.0.0.0/8");
            })),
            InvalidArgument,
            ["network.spec.cidr"]
        ),
        case!(
            "unknown type and no name",
            networks.create_network(create_network(|network| {
                network.metadata = None;
                network.spec.as_mut().unwrap().r#type = 9;
            })),
            InvalidArgument,
            ["network.metadata.name", "network.spec.type"]
        ),
        case!(
            "a cluster outside the slice",
            networks.create_network(create_network(|network| {
                network.spec.as_mut().unwrap().clusters = vec!["a".to_owned(), "x".to_owned()];
            })),
            InvalidArgument,
            ["network.spec.clusters[1]"]
        ),
        case!(
            "unknown slice",
            networks.create_network(create_network(|network| {
                network.slice = "x".to_owned();
            })),
            NotFound,
            []
        ),
        case!(
            "in use",
            networks.create_network(create_network(|network| {
                network.metadata = samples::named("n");
            })),
            AlreadyExists,
            []
        ),
        case!(
            "no DNS labels",
            networks.get_network(api::GetNetworkRequest::default()),
            InvalidArgument,
            ["slice", "name"]
        ),
        case!(
            "unknown",
            networks.get_network(api::GetNetworkRequest {
                slice: "s".to_owned(),
                name: "x".to_owned()
            }),
            NotFound,
            []
        ),
        case!(
            "unknown slice",
            networks.list_networks(api::ListNetworksRequest {
                slice: "x".to_owned(),
                ..Default::default()
            }),
            NotFound,
            []
        ),
        case!(
            "no DNS label",
            networks.list_networks(api::ListNetworksRequest {
                slice: "X".to_owned(),
                ..Default::default()
            }),
            InvalidArgument,
            ["slice"]
        ),
        case!(
            "other addresses",
            networks.update_network(update_network(|network| {
                with_cidr(network, "10.2.0.0/24");
            })),
            InvalidArgument,
            ["network.spec.cidr"]
        ),
        case!(
            "a cluster with a port goes",
            networks.update_network(update_network(|network| {
                network.spec.as_mut().unwrap().clusters = vec!["b".to_owned()];
            })),
            FailedPrecondition,
            []
        ),
        case!(
            "unknown",
            networks.update_network(update_network(|network| {
                network.metadata = samples::named("x");
            })),
            NotFound,
            []
        ),
        case!(
            "old etag",
            networks.update_network(update_network(|network| {
                network.metadata.as_mut().unwrap().etag = "old".to_owned();
            })),
            Aborted,
            []
        ),
        case!(
            "with ports",
            networks.delete_network(api::DeleteNetworkRequest {
                slice: "s".to_owned(),
                name: "n".to_owned(),
                ..Default::default()
            }),
            FailedPrecondition,
            []
        ),
        case!(
            "unknown",
            networks.delete_network(api::DeleteNetworkRequest {
                slice: "x".to_owned(),
                name: "n".to_owned(),
                ..Default::default()
            }),
            NotFound,
            []
        ),
        case!(
            "old etag",
            networks.delete_network(api::DeleteNetworkRequest {
                slice: "s".to_owned(),
                name: "n".to_owned(),
                etag: "old".to_owned(),
                force: true,
                ..Default::default()
            }),
            Aborted,
            []
        ),
        case!(
            "no DNS label",
            networks.watch_networks(api::WatchNetworksRequest {
                slice: "X".to_owned(),
                ..Default::default()
            }),
            InvalidArgument,
            ["slice"]
        ),
    ])
    .await;
}
