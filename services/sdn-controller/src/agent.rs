//! The sps-agents of the cluster's nodes, as the controller uses them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use l2sces_grpc::{Callee, Channel, DialError, Dialer};
use l2sces_measurement::Measurements;
use l2sces_proto::switch::v1::{
    AnnouncePortRequest, ApplyPortRequest, ApplySwitchRequest, DeletePortRequest,
    DeleteSwitchRequest, Port, PortState, Switch, SwitchState, WatchMeasurementsRequest,
    WatchPortsRequest, WatchPortsResponse, WatchSwitchRequest, WatchSwitchResponse,
    switch_service_client::SwitchServiceClient,
};
use tonic::{Code, Status};

/// The sps-agents, each named by its endpoint. A status is an agent's answer, or says that it gave
/// none.
#[async_trait]
pub(crate) trait Agents: Send + Sync {
    /// Says what is wrong with an endpoint, without calling it.
    fn check(&self, endpoint: &str) -> Result<(), String>;
    /// Makes the bridge as described.
    async fn apply_switch(&self, endpoint: &str, switch: Switch) -> Result<SwitchState, Status>;
    /// Removes the bridge.
    async fn delete_switch(&self, endpoint: &str) -> Result<(), Status>;
    /// Makes a port as described.
    async fn apply_port(&self, endpoint: &str, port: Port) -> Result<PortState, Status>;
    /// Has a port tell its network where its address is.
    async fn announce_port(&self, endpoint: &str, port: Port) -> Result<(), Status>;
    /// Removes a port.
    async fn delete_port(&self, endpoint: &str, interface_name: &str) -> Result<(), Status>;
    /// Reports all ports, then SYNCED, then changes.
    async fn watch_ports(
        &self,
        endpoint: &str,
    ) -> Result<BoxStream<'static, Result<WatchPortsResponse, Status>>, Status>;
    /// Reports the bridge, and again whenever it is not as it was applied last.
    async fn watch_switch(
        &self,
        endpoint: &str,
    ) -> Result<BoxStream<'static, Result<WatchSwitchResponse, Status>>, Status>;
    /// Measures links for as long as the stream is there.
    async fn watch_measurements(
        &self,
        endpoint: &str,
        request: WatchMeasurementsRequest,
    ) -> Result<Measurements, Status>;
}

/// Agents behind gRPC.
pub(crate) struct GrpcAgents {
    dialer: Dialer,
    /// One per endpoint that some node had since the start.
    channels: Mutex<HashMap<String, Channel>>,
}

impl GrpcAgents {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, channels: Mutex::default() }
    }

    fn client(&self, endpoint: &str) -> Result<SwitchServiceClient<Channel>, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(endpoint) {
            return Ok(SwitchServiceClient::new(channel.clone()));
        }
        let channel = self
            .dialer
            .channel_to(Callee::Agent, endpoint)
            .map_err(|error: DialError| Status::unavailable(error.to_string()))?;
        channels.insert(endpoint.to_owned(), channel.clone());
        Ok(SwitchServiceClient::new(channel))
    }
}

#[async_trait]
impl Agents for GrpcAgents {
    fn check(&self, endpoint: &str) -> Result<(), String> {
        self.dialer.channel(endpoint).map(drop).map_err(|error| error.to_string())
    }

    async fn apply_switch(&self, endpoint: &str, switch: Switch) -> Result<SwitchState, Status> {
        let request = ApplySwitchRequest { switch: Some(switch) };
        let response = self.client(endpoint)?.apply_switch(request).await?;
        Ok(response.into_inner().state.unwrap_or_default())
    }

    async fn delete_switch(&self, endpoint: &str) -> Result<(), Status> {
        self.client(endpoint)?.delete_switch(DeleteSwitchRequest {}).await?;
        Ok(())
    }

    async fn apply_port(&self, endpoint: &str, port: Port) -> Result<PortState, Status> {
        let request = ApplyPortRequest { port: Some(port) };
        let response = self.client(endpoint)?.apply_port(request).await?;
        Ok(response.into_inner().state.unwrap_or_default())
    }

    async fn announce_port(&self, endpoint: &str, port: Port) -> Result<(), Status> {
        let request = AnnouncePortRequest { port: Some(port) };
        self.client(endpoint)?.announce_port(request).await?;
        Ok(())
    }

    async fn delete_port(&self, endpoint: &str, interface_name: &str) -> Result<(), Status> {
        let request = DeletePortRequest { interface_name: interface_name.to_owned() };
        self.client(endpoint)?.delete_port(request).await?;
        Ok(())
    }

    async fn watch_ports(
        &self,
        endpoint: &str,
    ) -> Result<BoxStream<'static, Result<WatchPortsResponse, Status>>, Status> {
        let response = self.client(endpoint)?.watch_ports(WatchPortsRequest {}).await?;
        Ok(response.into_inner().boxed())
    }

    async fn watch_switch(
        &self,
        endpoint: &str,
    ) -> Result<BoxStream<'static, Result<WatchSwitchResponse, Status>>, Status> {
        match self.client(endpoint)?.watch_switch(WatchSwitchRequest {}).await {
            Ok(response) => Ok(response.into_inner().boxed()),
            // It makes ports and bridges all the same.
            Err(status) if status.code() == Code::Unimplemented => {
                tracing::warn!(endpoint, "this sps-agent is too old to tell of a changed bridge");
                Ok(stream::pending().boxed())
            }
            Err(status) => Err(status),
        }
    }

    async fn watch_measurements(
        &self,
        endpoint: &str,
        request: WatchMeasurementsRequest,
    ) -> Result<Measurements, Status> {
        let response = self.client(endpoint)?.watch_measurements(request).await?;
        Ok(response.into_inner().boxed())
    }
}
