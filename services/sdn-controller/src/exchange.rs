//! The sco-provider, as the controller uses it: what clusters tell each other.

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use ipnet::IpNet;
use l2sces_grpc::Channel;
use l2sces_model::Name;
use l2sces_proto::sco::v1::{
    ApplyEndpointRequest, ConfirmHandoffsRequest, DeleteEndpointRequest, Endpoint, EndpointKey,
    Handoff, LeaseBlockRequest, NetworkKey, ReleaseBlockRequest, WatchClusterRequest,
    WatchClusterResponse, exchange_service_client::ExchangeServiceClient,
};
use tonic::Status;

/// The exchange between clusters. A status is the sco-provider's answer, or says that it gave none.
#[async_trait]
pub(crate) trait Exchange: Send + Sync {
    /// Leases a block of a network's addresses, one that contains `address` if given.
    async fn lease_block(
        &self,
        network: NetworkKey,
        known_blocks: &[IpNet],
        address: Option<std::net::IpAddr>,
    ) -> Result<String, Status>;
    /// Gives a block back; succeeds if the cluster has not got it.
    async fn release_block(&self, network: NetworkKey, block: IpNet) -> Result<(), Status>;
    /// Announces a live endpoint.
    async fn apply_endpoint(&self, endpoint: Endpoint) -> Result<(), Status>;
    /// Withdraws an endpoint.
    async fn delete_endpoint(&self, key: EndpointKey) -> Result<(), Status>;
    /// Says that switches follow these handoffs.
    async fn confirm_handoffs(&self, handoffs: Vec<Handoff>) -> Result<(), Status>;
    /// Reports handoffs and remote endpoints, then SYNCED, then changes.
    async fn watch_cluster(
        &self,
    ) -> Result<BoxStream<'static, Result<WatchClusterResponse, Status>>, Status>;
}

/// The exchange behind gRPC.
pub(crate) struct GrpcExchange {
    client: ExchangeServiceClient<Channel>,
    cluster: Name,
}

impl GrpcExchange {
    /// The exchange at the far end of a channel, for a cluster.
    pub(crate) fn new(channel: Channel, cluster: Name) -> Self {
        Self { client: ExchangeServiceClient::new(channel), cluster }
    }
}

#[async_trait]
impl Exchange for GrpcExchange {
    async fn lease_block(
        &self,
        network: NetworkKey,
        known_blocks: &[IpNet],
        address: Option<std::net::IpAddr>,
    ) -> Result<String, Status> {
        let request = LeaseBlockRequest {
            network: Some(network),
            cluster: self.cluster.to_string(),
            known_blocks: known_blocks.iter().map(ToString::to_string).collect(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
        };
        Ok(self.client.clone().lease_block(request).await?.into_inner().block)
    }

    async fn release_block(&self, network: NetworkKey, block: IpNet) -> Result<(), Status> {
        let request = ReleaseBlockRequest {
            network: Some(network),
            cluster: self.cluster.to_string(),
            block: block.to_string(),
        };
        self.client.clone().release_block(request).await?;
        Ok(())
    }

    async fn apply_endpoint(&self, endpoint: Endpoint) -> Result<(), Status> {
        let request = ApplyEndpointRequest { endpoint: Some(endpoint) };
        self.client.clone().apply_endpoint(request).await?;
        Ok(())
    }

    async fn delete_endpoint(&self, key: EndpointKey) -> Result<(), Status> {
        self.client.clone().delete_endpoint(DeleteEndpointRequest { key: Some(key) }).await?;
        Ok(())
    }

    async fn confirm_handoffs(&self, handoffs: Vec<Handoff>) -> Result<(), Status> {
        let request = ConfirmHandoffsRequest { cluster: self.cluster.to_string(), handoffs };
        self.client.clone().confirm_handoffs(request).await?;
        Ok(())
    }

    async fn watch_cluster(
        &self,
    ) -> Result<BoxStream<'static, Result<WatchClusterResponse, Status>>, Status> {
        let request = WatchClusterRequest { cluster: self.cluster.to_string() };
        Ok(self.client.clone().watch_cluster(request).await?.into_inner().boxed())
    }
}
