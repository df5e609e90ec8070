//! How the links of a slice fare: asked of the services that know, whenever somebody wants to know.

use std::time::Duration;

use futures::{StreamExt, stream};
use l2sces_grpc::{Channel, Dialer};
use l2sces_model::Name;
use l2sces_proto::{
    fabric::v1::{self as fabric, fabric_service_client::FabricServiceClient},
    sco::v1::{self as sco, sco_service_client::ScoServiceClient},
    slice::v1::{LinkEnd, LinkStatus},
};
use tonic::{Code, Request, Status};

use crate::{
    domain::{Cluster, Driver, Endpoint, Key, Slice, Stored},
    downstream::Target,
    store::{Store, StoreError},
};

/// Longest that a service may take: whoever asks waits for all of them.
const PATIENCE: Duration = Duration::from_secs(3);

/// Most services that are asked at a time.
const CONCURRENCY: usize = 64;

/// Reaches the services that know of links.
#[derive(Clone, Debug)]
pub(super) struct Links {
    pub(super) store: Store,
    pub(super) dialer: Dialer,
    pub(super) sco_provider: Channel,
}

/// The links, and why there may be more: a sentence for each service that did not answer.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) links: Vec<LinkStatus>,
    pub(super) unreachable: Vec<String>,
}

impl Found {
    fn add(&mut self, target: &Target, answer: Result<Vec<LinkStatus>, Status>) {
        match answer {
            Ok(links) => self.links.extend(links),
            // It has not heard of the slice yet.
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => {
                let why =
                    format!("{}: {} ({:?})", target.service(), status.message(), status.code());
                self.unreachable.push(why);
            }
        }
    }
}

impl Links {
    /// Every link of a slice.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn of_slice(&self, slice: &Stored<Slice>) -> Result<Found, StoreError> {
        let name = slice.meta.key.name().as_str();
        let clusters = slice.spec.clusters.iter().map(|part| part.cluster.clone());
        let keys: Vec<Key> = clusters.map(Key::Cluster).collect();
        let stored = self.store.get_any(&keys).await?;
        let mut controllers = Vec::new();
        for key in &keys {
            let cluster: Option<Stored<Cluster>> = stored.get(key)?;
            // The controller of a Kubernetes cluster is its operator's business.
            if let Some(Driver::Direct(controller)) = cluster.map(|cluster| cluster.spec.driver) {
                controllers.push((key.name().clone(), controller));
            }
        }
        let inside = stream::iter(controllers)
            .map(async |(cluster, controller)| {
                let answer = self.within(&cluster, &controller, name).await;
                (Target::Cluster(cluster), answer)
            })
            .buffered(CONCURRENCY)
            .collect::<Vec<_>>();
        let (inside, between) = tokio::join!(inside, self.between(name));
        let mut found = Found::default();
        inside.into_iter().for_each(|(target, answer)| found.add(&target, answer));
        found.add(&Target::Sco, between);
        Ok(found)
    }

    async fn within(
        &self,
        cluster: &Name,
        controller: &Endpoint,
        slice: &str,
    ) -> Result<Vec<LinkStatus>, Status> {
        let channel = self.dialer.channel(controller.as_str());
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = soon(fabric::ListLinksRequest { slice: slice.to_owned() });
        let response = FabricServiceClient::new(channel).list_links(request).await?;
        let end = |node| Some(LinkEnd { cluster: cluster.to_string(), node });
        let links = response.into_inner().links.into_iter().map(|link| LinkStatus {
            source: end(link.source_node),
            target: end(link.target_node),
            up: link.up,
            message: link.message,
            measurement: link.measurement,
            measurement_message: link.measurement_message,
        });
        Ok(links.collect())
    }

    async fn between(&self, slice: &str) -> Result<Vec<LinkStatus>, Status> {
        let request = soon(sco::ListLinksRequest { slice: slice.to_owned() });
        let response = ScoServiceClient::new(self.sco_provider.clone()).list_links(request).await?;
        let end = |key: Option<sco::GatewayKey>| {
            key.map(|sco::GatewayKey { cluster, node }| LinkEnd { cluster, node })
        };
        let links = response.into_inner().links.into_iter().map(|link| LinkStatus {
            source: end(link.source),
            target: end(link.target),
            up: link.up,
            message: link.message,
            measurement: link.measurement,
            measurement_message: link.measurement_message,
        });
        Ok(links.collect())
    }
}

fn soon<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}
