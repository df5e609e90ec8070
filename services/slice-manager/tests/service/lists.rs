//! Lists, page by page.

use l2sces_proto::slice::v1 as api;
use tonic::Code;

use crate::{
    samples,
    world::{World, code},
};

#[tokio::test]
async fn pages_cover_everything_once_in_order() {
    let mut world = World::with_slice().await;
    world.create_slice(samples::slice("a", &["a"])).await.unwrap();
    for (slice, name) in [("s", "n2"), ("a", "n9"), ("s", "n10"), ("s", "n1"), ("a", "n1")] {
        world.create_network(samples::network(slice, name)).await.unwrap();
    }
    let mut networks = world.manager.networks.clone();
    let mut list = async |slice: &str, size| {
        let mut request = api::ListNetworksRequest {
            page_size: size,
            page_token: String::new(),
            slice: slice.to_owned(),
        };
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let page = networks.list_networks(request.clone()).await.unwrap().into_inner();
            pages += 1;
            let name = |network: api::Network| {
                format!("{}/{}", network.slice, network.metadata.unwrap().name)
            };
            found.extend(page.networks.into_iter().map(name));
            if page.next_page_token.is_empty() {
                return (pages, found);
            }
            request.page_token = page.next_page_token;
        }
    };
    let all = ["a/n1", "a/n9", "s/n1", "s/n10", "s/n2"].map(ToOwned::to_owned).to_vec();
    assert_eq!(list("", 0).await, (1, all.clone()));
    assert_eq!(list("", 2).await, (3, all.clone()));
    assert_eq!(list("", 1).await, (5, all.clone()));
    assert_eq!(list("s", 2).await, (2, all[2..].to_vec()));
    assert_eq!(list("a", 2).await, (1, all[..2].to_vec()));
}

#[tokio::test]
async fn a_list_is_narrowed_by_parents_that_exist() {
    let mut world = World::with_port().await;
    world.create_network(samples::network("s", "empty")).await.unwrap();
    let mut networks = world.manager.networks.clone();
    let mut ports = async |slice: &str, network: &str| {
        let request = api::ListPortsRequest {
            slice: slice.to_owned(),
            network: network.to_owned(),
            ..Default::default()
        };
        networks.list_ports(request).await.map(|page| page.into_inner().ports.len())
    };
    assert_eq!(ports("", "").await.unwrap(), 1);
    assert_eq!(ports("s", "").await.unwrap(), 1);
    assert_eq!(ports("s", "n").await.unwrap(), 1);
    assert_eq!(ports("s", "empty").await.unwrap(), 0);
    assert_eq!(code(ports("s", "m").await), Code::NotFound);
    assert_eq!(code(ports("x", "").await), Code::NotFound);
    assert_eq!(code(ports("", "n").await), Code::InvalidArgument);
}
