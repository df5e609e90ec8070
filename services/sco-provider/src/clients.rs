//! The agents and the DNS by gRPC.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt as _;
use l2sces_grpc::{Channel, Dialer};
use l2sces_measurement::Measurements;
use l2sces_proto::{
    dns::v1::{
        ApplyRecordRequest, DeleteRecordRequest, Record, RecordKey,
        record_service_client::RecordServiceClient,
    },
    switch::v1::{
        ApplySwitchRequest, DeleteSwitchRequest, Switch, SwitchState, WatchMeasurementsRequest,
        WatchSwitchRequest, switch_service_client::SwitchServiceClient,
    },
};
use tonic::Status;

use crate::{
    domain::EndpointKey,
    downstream::{Agents, DownstreamError, Names},
};

/// The ned-agents by gRPC: one channel for each endpoint that is in use.
pub(crate) struct GrpcAgents {
    dialer: Dialer,
    channels: Mutex<HashMap<String, Channel>>,
}

impl GrpcAgents {
    /// Agents that are reached through `dialer`.
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, channels: Mutex::default() }
    }

    fn channel(&self, endpoint: &str) -> Result<Channel, DownstreamError> {
        // A map entry is whole whenever it is there.
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(endpoint) {
            return Ok(channel.clone());
        }
        let channel = self.dialer.channel(endpoint)?;
        channels.insert(endpoint.to_owned(), channel.clone());
        Ok(channel)
    }

    fn forget(&self, endpoint: &str) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
    }
}

impl Agents for GrpcAgents {
    async fn apply_switch(
        &self,
        endpoint: &str,
        wanted: Switch,
    ) -> Result<SwitchState, DownstreamError> {
        let channel = self.channel(endpoint)?;
        let mut client = SwitchServiceClient::new(channel.clone());
        let response = client
            .apply_switch(ApplySwitchRequest { switch: Some(wanted) })
            .await
            .map_err(|status| failed(&channel, status))?;
        Ok(response.into_inner().state.unwrap_or_default())
    }

    async fn delete_switch(&self, endpoint: &str) -> Result<(), DownstreamError> {
        let channel = self.channel(endpoint)?;
        let mut client = SwitchServiceClient::new(channel.clone());
        client
            .delete_switch(DeleteSwitchRequest {})
            .await
            .map_err(|status| failed(&channel, status))?;
        self.forget(endpoint);
        Ok(())
    }

    async fn attend(&self, endpoint: &str, mut reported: impl FnMut() + Send) -> DownstreamError {
        let channel = match self.channel(endpoint) {
            Ok(channel) => channel,
            Err(error) => return error,
        };
        let mut client = SwitchServiceClient::new(channel.clone());
        let mut bridge = match client.watch_switch(WatchSwitchRequest {}).await {
            Ok(response) => response.into_inner(),
            Err(status) => return failed(&channel, status),
        };
        loop {
            match bridge.message().await {
                Ok(Some(_)) => reported(),
                Ok(None) => return failed(&channel, Status::unavailable("the agent hung up")),
                Err(status) => return failed(&channel, status),
            }
        }
    }

    async fn watch_measurements(
        &self,
        endpoint: &str,
        request: WatchMeasurementsRequest,
    ) -> Result<Measurements, Status> {
        let channel = self.channel(endpoint);
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let response = SwitchServiceClient::new(channel).watch_measurements(request).await?;
        Ok(response.into_inner().boxed())
    }
}

/// The inter-domain DNS by gRPC.
pub(crate) struct GrpcNames {
    channel: Channel,
}

impl GrpcNames {
    /// The DNS behind `channel`.
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    fn client(&self) -> RecordServiceClient<Channel> {
        RecordServiceClient::new(self.channel.clone())
    }
}

impl Names for GrpcNames {
    async fn apply_record(
        &self,
        key: &EndpointKey,
        address: IpAddr,
    ) -> Result<(), DownstreamError> {
        let record = Record { key: Some(record_key(key)), addresses: vec![address.to_string()] };
        self.client()
            .apply_record(ApplyRecordRequest { record: Some(record) })
            .await
            .map_err(|status| failed(&self.channel, status))?;
        Ok(())
    }

    async fn delete_record(&self, key: &EndpointKey) -> Result<(), DownstreamError> {
        self.client()
            .delete_record(DeleteRecordRequest { key: Some(record_key(key)) })
            .await
            .map_err(|status| failed(&self.channel, status))?;
        Ok(())
    }
}

fn record_key(key: &EndpointKey) -> RecordKey {
    RecordKey {
        slice: key.network.slice.to_string(),
        network: key.network.name.to_string(),
        cluster: key.cluster.to_string(),
        host: key.port.to_string(),
    }
}

fn failed(channel: &Channel, status: Status) -> DownstreamError {
    DownstreamError::Call { server: Arc::from(channel.server()), status }
}
