//! The agents and the DNS by gRPC.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use l2sces_grpc::{Callee, Channel, Dialer};
use l2sces_measurement::Measurements;
use l2sces_proto::{
    dns::v1::{
        ApplyRecordRequest, DeleteRecordRequest, Record, RecordKey,
        record_service_client::RecordServiceClient,
    },
    switch::v1::{
        ApplySwitchRequest, DeleteSwitchRequest, Switch, SwitchState, WatchMeasurementsRequest,
        WatchPortsRequest, WatchSwitchRequest, switch_service_client::SwitchServiceClient,
    },
};
use tonic::{Code, Status};

use crate::{
    domain::EndpointKey,
    downstream::{Agents, DownstreamError, NameRecord, Names},
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
        let channel = self.dialer.channel_to(Callee::Agent, endpoint)?;
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
        let mut reports = match reports(&channel).await {
            Ok(reports) => reports,
            Err(status) => return failed(&channel, status),
        };
        loop {
            match reports.next().await {
                Some(Ok(())) => reported(),
                Some(Err(status)) => return failed(&channel, status),
                None => return failed(&channel, Status::unavailable("the agent hung up")),
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

/// What an agent tells of its bridge.
async fn reports(channel: &Channel) -> Result<BoxStream<'static, Result<(), Status>>, Status> {
    let mut client = SwitchServiceClient::new(channel.clone());
    match client.watch_switch(WatchSwitchRequest {}).await {
        Ok(response) => Ok(response.into_inner().map_ok(drop).boxed()),
        // It makes bridges all the same. What it tells of ports says at least that it is there.
        Err(status) if status.code() == Code::Unimplemented => {
            let server = channel.server();
            tracing::warn!(server, "this ned-agent is too old to tell of a changed bridge");
            let ports = client.watch_ports(WatchPortsRequest {}).await?;
            Ok(ports.into_inner().map_ok(drop).boxed())
        }
        Err(status) => Err(status),
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
        record: &NameRecord,
    ) -> Result<(), DownstreamError> {
        let record = Record {
            key: Some(record_key(key)),
            addresses: vec![record.address.to_string()],
            aliases: record.alias.iter().map(ToString::to_string).collect(),
        };
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

#[cfg(test)]
mod tests {
    use l2sces_grpc::{Access, TlsArgs, serve_on};
    use l2sces_pki::Role;
    use l2sces_proto::switch::v1::{
        AnnouncePortRequest, AnnouncePortResponse, ApplyPortRequest, ApplyPortResponse,
        ApplySwitchResponse, DeletePortRequest, DeletePortResponse, DeleteSwitchResponse,
        GetSwitchRequest, GetSwitchResponse, WatchMeasurementsResponse, WatchPortsResponse,
        WatchSwitchResponse,
        switch_service_server::{SwitchService, SwitchServiceServer},
    };
    use tokio::{net::TcpListener, sync::mpsc};
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::{Request, Response, async_trait, service::Routes};

    use super::*;

    type Reports<T> = ReceiverStream<Result<T, Status>>;

    /// An agent of before `WatchSwitch`. It tells of ports what it is given.
    struct FormerAgent {
        ports: Mutex<Option<Reports<WatchPortsResponse>>>,
    }

    #[async_trait]
    impl SwitchService for FormerAgent {
        type WatchPortsStream = Reports<WatchPortsResponse>;
        type WatchSwitchStream = Reports<WatchSwitchResponse>;
        type WatchMeasurementsStream = Reports<WatchMeasurementsResponse>;

        async fn watch_ports(
            &self,
            _: Request<WatchPortsRequest>,
        ) -> Result<Response<Self::WatchPortsStream>, Status> {
            let ports = self.ports.lock().unwrap().take();
            ports.map(Response::new).ok_or_else(|| Status::unavailable("the agent is gone"))
        }

        async fn watch_switch(
            &self,
            _: Request<WatchSwitchRequest>,
        ) -> Result<Response<Self::WatchSwitchStream>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn watch_measurements(
            &self,
            _: Request<WatchMeasurementsRequest>,
        ) -> Result<Response<Self::WatchMeasurementsStream>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn apply_switch(
            &self,
            _: Request<ApplySwitchRequest>,
        ) -> Result<Response<ApplySwitchResponse>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn get_switch(
            &self,
            _: Request<GetSwitchRequest>,
        ) -> Result<Response<GetSwitchResponse>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn delete_switch(
            &self,
            _: Request<DeleteSwitchRequest>,
        ) -> Result<Response<DeleteSwitchResponse>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn apply_port(
            &self,
            _: Request<ApplyPortRequest>,
        ) -> Result<Response<ApplyPortResponse>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn announce_port(
            &self,
            _: Request<AnnouncePortRequest>,
        ) -> Result<Response<AnnouncePortResponse>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn delete_port(
            &self,
            _: Request<DeletePortRequest>,
        ) -> Result<Response<DeletePortResponse>, Status> {
            Err(Status::unimplemented(""))
        }
    }

    #[tokio::test]
    async fn an_agent_that_cannot_tell_of_its_bridge_is_known_to_be_there_and_to_leave() {
        let tls = TlsArgs { insecure_plaintext: true, ..TlsArgs::default() };
        let agents = GrpcAgents::new(Dialer::new(&tls).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (tell, ports) = mpsc::channel(1);
        let agent = FormerAgent { ports: Mutex::new(Some(ReceiverStream::new(ports))) };
        let routes = Routes::new(SwitchServiceServer::new(agent));
        let access = Access::new().allow::<SwitchServiceServer<()>>(&[Role::ScoProvider]);
        let serving = tokio::spawn(async move {
            serve_on(listener, &tls, routes, access, std::future::pending()).await
        });

        let (report, mut reports) = mpsc::channel(1);
        let attending =
            tokio::spawn(
                async move { agents.attend(&endpoint, || report.try_send(()).unwrap()).await },
            );
        tell.send(Ok(WatchPortsResponse::default())).await.unwrap();
        assert_eq!(reports.recv().await, Some(()), "it gave up");
        drop(tell);
        match attending.await.unwrap() {
            DownstreamError::Call { status, .. } => assert_eq!(status.code(), Code::Unavailable),
            error @ DownstreamError::Dial(_) => panic!("{error}"),
        }
        serving.abort();
    }
}
