use std::{pin::Pin, sync::Arc};

use futures::{Stream, stream};
use l2sces_proto::{
    resource::v1::ChangeKind,
    switch::v1::{
        AnnouncePortRequest, AnnouncePortResponse, ApplyPortRequest, ApplyPortResponse,
        ApplySwitchRequest, ApplySwitchResponse, DeletePortRequest, DeletePortResponse,
        DeleteSwitchRequest, DeleteSwitchResponse, GetSwitchRequest, GetSwitchResponse, PortState,
        SwitchState, TunnelLinkState, WatchMeasurementsRequest, WatchMeasurementsResponse,
        WatchPortsRequest, WatchPortsResponse, WatchSwitchRequest, WatchSwitchResponse,
        switch_service_server::SwitchService,
    },
};
use tonic::{Request, Response, Status, async_trait};

use super::parse;
use crate::{Agent, PortChange, PortWatch, SwitchWatch};

/// `l2sces.switch.v1.SwitchService` of an agent. Cheap to clone.
#[derive(Clone)]
pub struct SwitchApi(Arc<Agent>);

impl SwitchApi {
    /// The service of this agent.
    pub fn new(agent: Arc<Agent>) -> Self {
        Self(agent)
    }

    fn bridge(&self) -> &str {
        &self.0.identity.bridge
    }
}

#[async_trait]
impl SwitchService for SwitchApi {
    async fn apply_switch(
        &self,
        request: Request<ApplySwitchRequest>,
    ) -> Result<Response<ApplySwitchResponse>, Status> {
        let switch = parse::switch(request.into_inner().switch, self.bridge())?;
        let state = self.0.apply_switch(&switch).await?;
        Ok(Response::new(ApplySwitchResponse { state: Some(state.into()) }))
    }

    async fn get_switch(
        &self,
        _: Request<GetSwitchRequest>,
    ) -> Result<Response<GetSwitchResponse>, Status> {
        let state = self.0.switch()?;
        Ok(Response::new(GetSwitchResponse { state: state.map(Into::into) }))
    }

    async fn delete_switch(
        &self,
        _: Request<DeleteSwitchRequest>,
    ) -> Result<Response<DeleteSwitchResponse>, Status> {
        self.0.delete_switch().await?;
        Ok(Response::new(DeleteSwitchResponse {}))
    }

    async fn apply_port(
        &self,
        request: Request<ApplyPortRequest>,
    ) -> Result<Response<ApplyPortResponse>, Status> {
        let port = parse::port(request.into_inner().port, self.bridge())?;
        let state = self.0.apply_port(&port).await?;
        Ok(Response::new(ApplyPortResponse { state: Some(state.into()) }))
    }

    async fn announce_port(
        &self,
        request: Request<AnnouncePortRequest>,
    ) -> Result<Response<AnnouncePortResponse>, Status> {
        let port = parse::port(request.into_inner().port, self.bridge())?;
        self.0.announce_port(&port).await?;
        Ok(Response::new(AnnouncePortResponse {}))
    }

    async fn delete_port(
        &self,
        request: Request<DeletePortRequest>,
    ) -> Result<Response<DeletePortResponse>, Status> {
        let name = parse::port_name(&request.into_inner().interface_name, self.bridge())?;
        self.0.delete_port(name.as_str()).await?;
        Ok(Response::new(DeletePortResponse {}))
    }

    type WatchPortsStream =
        Pin<Box<dyn Stream<Item = Result<WatchPortsResponse, Status>> + Send + 'static>>;

    async fn watch_ports(
        &self,
        _: Request<WatchPortsRequest>,
    ) -> Result<Response<Self::WatchPortsStream>, Status> {
        let watch = self.0.watch_ports()?;
        // Pulled by the client's flow control: a slow one is found out by the watch itself.
        let reports = stream::unfold(Some(watch), |watch| async { report(watch?).await });
        Ok(Response::new(Box::pin(reports)))
    }

    type WatchSwitchStream =
        Pin<Box<dyn Stream<Item = Result<WatchSwitchResponse, Status>> + Send + 'static>>;

    async fn watch_switch(
        &self,
        _: Request<WatchSwitchRequest>,
    ) -> Result<Response<Self::WatchSwitchStream>, Status> {
        let watch = self.0.watch_switch()?;
        Ok(Response::new(Box::pin(stream::unfold(watch, report_switch))))
    }

    type WatchMeasurementsStream =
        Pin<Box<dyn Stream<Item = Result<WatchMeasurementsResponse, Status>> + Send + 'static>>;

    async fn watch_measurements(
        &self,
        request: Request<WatchMeasurementsRequest>,
    ) -> Result<Response<Self::WatchMeasurementsStream>, Status> {
        let links = parse::measured_links(&request.into_inner())?;
        let watch = self.0.watch_measurements(links).await?;
        let reports = stream::unfold(watch, |mut watch| async {
            let (interface, measurement) = watch.next().await?;
            let response = WatchMeasurementsResponse {
                interface_name: interface.to_string(),
                measurement: Some(measurement),
            };
            Some((Ok(response), watch))
        });
        Ok(Response::new(Box::pin(reports)))
    }
}

/// The next report of a watch of the bridge, and the watch: there is always more.
async fn report_switch(
    mut watch: SwitchWatch,
) -> Option<(Result<WatchSwitchResponse, Status>, SwitchWatch)> {
    let state = watch.next().await.map(Into::into);
    Some((Ok(WatchSwitchResponse { state }), watch))
}

/// The next report of a watch, and the watch if there may be more.
async fn report(
    mut watch: PortWatch,
) -> Option<(Result<WatchPortsResponse, Status>, Option<PortWatch>)> {
    match watch.next().await {
        Ok(Some(change)) => Some((Ok(change.into()), Some(watch))),
        Ok(None) => None,
        Err(lagged) => Some((Err(lagged.into()), None)),
    }
}

impl From<PortChange> for WatchPortsResponse {
    fn from(change: PortChange) -> Self {
        let (kind, state) = match change {
            PortChange::Put(state) => (ChangeKind::Put, Some(state.into())),
            PortChange::Synced => (ChangeKind::Synced, None),
            PortChange::Deleted(interface_name) => {
                (ChangeKind::Deleted, Some(PortState { interface_name, ..PortState::default() }))
            }
        };
        Self { kind: kind.into(), state }
    }
}

impl From<crate::PortState> for PortState {
    fn from(state: crate::PortState) -> Self {
        Self {
            interface_name: state.interface,
            ofport: state.ofport.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            owner: state.owner,
        }
    }
}

impl From<crate::SwitchState> for SwitchState {
    fn from(state: crate::SwitchState) -> Self {
        let links = state.links.into_iter().map(|link| TunnelLinkState {
            interface_name: link.interface,
            ofport: link.ofport.unwrap_or_default(),
            error: link.error.unwrap_or_default(),
        });
        Self {
            datapath_id: state.datapath_id.map_or(0, l2sces_model::DatapathId::get),
            controller_connected: state.controller_connected,
            links: links.collect(),
            ovs_version: state.ovs_version,
        }
    }
}
