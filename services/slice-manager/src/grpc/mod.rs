//! The API of `l2sces.slice.v1`: messages to values of the domain and back, refusals to statuses.

mod access;
mod answer;
mod cluster_service;
mod links;
mod network_service;
mod page;
mod slice_service;
mod status;
mod watch;

pub use access::access;
use l2sces_proto::slice::v1::{
    cluster_service_server::ClusterServiceServer, network_service_server::NetworkServiceServer,
    slice_service_server::SliceServiceServer,
};
use prost::Message;
use tonic::service::Routes;

use crate::{
    intent::{Intents, Options},
    reconcile::Downstream,
    store::Digest,
};

/// The services, as one API over desired state. What the services downstream know of links they are
/// asked when somebody wants to know.
pub fn routes(intents: Intents, downstream: &Downstream) -> Routes {
    let watches = watch::Watches::new(intents.clone());
    let links = links::Links {
        store: intents.store().clone(),
        dialer: downstream.dialer.clone(),
        sco_provider: downstream.sco_provider.clone(),
    };
    let api = Api { intents, watches, links };
    Routes::new(ClusterServiceServer::new(api.clone()))
        .add_service(SliceServiceServer::new(api.clone()))
        .add_service(NetworkServiceServer::new(api))
}

/// Serves the API.
#[derive(Clone, Debug)]
struct Api {
    intents: Intents,
    watches: watch::Watches,
    links: links::Links,
}

/// How the write that a request asks for is to be done.
fn options(method: &str, request: &impl Message, request_id: &str, validate_only: bool) -> Options {
    let digest = Digest::of(method, &request.encode_to_vec());
    Options { request_id: request_id.to_owned(), digest, validate_only }
}
