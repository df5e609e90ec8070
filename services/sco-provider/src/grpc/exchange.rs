use std::sync::Arc;

use l2sces_proto::sco::v1::{
    ApplyEndpointRequest, ApplyEndpointResponse, ConfirmHandoffsRequest, ConfirmHandoffsResponse,
    DeleteEndpointRequest, DeleteEndpointResponse, LeaseBlockRequest, LeaseBlockResponse,
    ReleaseBlockRequest, ReleaseBlockResponse, WatchClusterRequest, WatchClusterResponse,
    exchange_service_server::ExchangeService,
};
use l2sces_trace::TraceContext;
use tonic::{Request, Response, Status};

use super::{
    Messages,
    authority::{authorize, caller},
    parse, present,
    status::refusal,
    watch::watch,
};
use crate::{
    confirmations::Confirmations,
    domain::Key,
    exchange::{ExchangeBoard, ItemKey, seen_by},
    reconcile::Queues,
    store::Store,
};

/// Serves ExchangeService.
pub struct ExchangeApi {
    store: Store,
    queues: Queues,
    exchange: Arc<ExchangeBoard>,
    confirmations: Arc<Confirmations>,
}

impl ExchangeApi {
    /// The service over these parts.
    pub fn new(
        store: Store,
        queues: Queues,
        exchange: Arc<ExchangeBoard>,
        confirmations: Arc<Confirmations>,
    ) -> Self {
        Self { store, queues, exchange, confirmations }
    }
}

#[tonic::async_trait]
impl ExchangeService for ExchangeApi {
    async fn lease_block(
        &self,
        request: Request<LeaseBlockRequest>,
    ) -> Result<Response<LeaseBlockResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner();
        let lease = parse::request(|found| parse::lease(found, &message))?;
        authorize(caller.as_ref(), &lease.cluster)?;
        let block = self.store.lease_block(&lease).await.map_err(|error| refusal("", error))?;
        Ok(Response::new(LeaseBlockResponse { block: block.to_string() }))
    }

    async fn release_block(
        &self,
        request: Request<ReleaseBlockRequest>,
    ) -> Result<Response<ReleaseBlockResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner();
        let release = parse::request(|found| parse::release(found, &message))?;
        authorize(caller.as_ref(), &release.cluster)?;
        self.store.release_block(&release).await.map_err(|error| refusal("", error))?;
        Ok(Response::new(ReleaseBlockResponse {}))
    }

    async fn apply_endpoint(
        &self,
        request: Request<ApplyEndpointRequest>,
    ) -> Result<Response<ApplyEndpointResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner().endpoint;
        let endpoint = parse::request(|found| parse::endpoint(found, message.as_ref()))?;
        authorize(caller.as_ref(), &endpoint.key.cluster)?;
        self.store.apply_endpoint(&endpoint).await.map_err(|error| refusal("endpoint.", error))?;
        self.queues.wake(Key::Endpoint(endpoint.key));
        Ok(Response::new(ApplyEndpointResponse {}))
    }

    async fn delete_endpoint(
        &self,
        request: Request<DeleteEndpointRequest>,
    ) -> Result<Response<DeleteEndpointResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner().key;
        let key = parse::request(|found| parse::endpoint_key(found, "key", message.as_ref()))?;
        authorize(caller.as_ref(), &key.cluster)?;
        self.store.delete_endpoint(&key).await.map_err(|error| refusal("", error))?;
        self.queues.wake(Key::Endpoint(key));
        Ok(Response::new(DeleteEndpointResponse {}))
    }

    type WatchClusterStream = Messages<WatchClusterResponse>;

    async fn watch_cluster(
        &self,
        request: Request<WatchClusterRequest>,
    ) -> Result<Response<Self::WatchClusterStream>, Status> {
        let caller = caller(&request);
        let message = request.into_inner();
        let cluster = parse::request(|found| parse::name(found, "cluster", &message.cluster))?;
        authorize(caller.as_ref(), &cluster)?;
        let messages = watch(&self.exchange, present::cluster_synced(), move |change| {
            let shown = present::cluster_change(&seen_by(&cluster, &change.what)?);
            let traceparent = TraceContext::traceparent(change.cause);
            Some(WatchClusterResponse { traceparent, ..shown })
        });
        Ok(Response::new(messages))
    }

    async fn confirm_handoffs(
        &self,
        request: Request<ConfirmHandoffsRequest>,
    ) -> Result<Response<ConfirmHandoffsResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner();
        let (cluster, networks) =
            parse::request(|found| parse::confirmed_handoffs(found, &message))?;
        authorize(caller.as_ref(), &cluster)?;
        for (network, confirmed) in networks.into_iter().zip(&message.handoffs) {
            let key = ItemKey::Handoff { network: network.clone(), cluster: cluster.clone() };
            let Some(notice) = self.exchange.get(&key) else { continue };
            if present::unsettled_handoff(&network, &notice).as_ref() == Some(confirmed) {
                self.confirmations.note(&network, &cluster, notice);
                self.queues.wake(Key::Network(network));
            }
        }
        Ok(Response::new(ConfirmHandoffsResponse {}))
    }
}
