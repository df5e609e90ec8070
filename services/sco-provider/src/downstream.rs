//! What the sco-provider drives, as its workers see it: the switches' flows, the agents on the
//! gateways, and the DNS. Traits, so that workers can be tested without any of them.

use std::{net::IpAddr, sync::Arc};

use l2sces_controller::{
    EndpointSpec, Engine, LinkState, NetworkSpec, PortId, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_measurement::Measurements;
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_proto::switch::v1::{Switch, SwitchState, WatchMeasurementsRequest};
use thiserror::Error;
use tonic::Status;

use crate::domain::EndpointKey;

/// Why an agent or the DNS did not do as asked.
#[derive(Debug, Error)]
pub enum DownstreamError {
    /// There can be no connection to the endpoint.
    #[error(transparent)]
    Dial(#[from] l2sces_grpc::DialError),
    /// The call failed.
    #[error("{server}: {} ({:?})", .status.message(), .status.code())]
    Call {
        /// Host and port of the server.
        server: Arc<str>,
        /// What it said.
        status: Status,
    },
}

/// Flows and groups of the switches. Calls that put or remove return when every connected switch
/// that is concerned has confirmed; they cannot fail, only be overtaken by the next call.
pub trait Fabric: Send + Sync + 'static {
    /// Adds a switch, or changes it.
    fn put_switch(&self, spec: SwitchSpec) -> impl Future<Output = ()> + Send;
    /// Removes a switch.
    fn remove_switch(&self, id: DatapathId) -> impl Future<Output = ()> + Send;
    /// Adds a slice, or changes it.
    fn put_slice(&self, spec: SliceSpec) -> impl Future<Output = ()> + Send;
    /// Removes a slice.
    fn remove_slice(&self, name: Name) -> impl Future<Output = ()> + Send;
    /// Adds a network, or changes it.
    fn put_network(&self, spec: NetworkSpec) -> impl Future<Output = ()> + Send;
    /// Removes a network.
    fn remove_network(&self, vni: Vni) -> impl Future<Output = ()> + Send;
    /// Adds a port, or changes it.
    fn put_port(&self, spec: PortSpec) -> impl Future<Output = ()> + Send;
    /// Removes a port.
    fn remove_port(&self, id: PortId) -> impl Future<Output = ()> + Send;
    /// Adds an endpoint behind a trunk, or moves it.
    fn put_endpoint(&self, spec: EndpointSpec) -> impl Future<Output = ()> + Send;
    /// Removes an endpoint behind a trunk.
    fn remove_endpoint(&self, vni: Vni, mac: MacAddress) -> impl Future<Output = ()> + Send;
    /// Says that all that is wanted has been put.
    fn set_complete(&self) -> impl Future<Output = ()> + Send;
    /// Every wanted link in both directions, as discovered.
    fn links(&self) -> impl Future<Output = Vec<LinkState>> + Send;
}

/// The ned-agents.
pub trait Agents: Send + Sync + 'static {
    /// Makes the bridge as described.
    fn apply_switch(
        &self,
        endpoint: &str,
        wanted: Switch,
    ) -> impl Future<Output = Result<SwitchState, DownstreamError>> + Send;
    /// Removes the bridge and all that was made for it.
    fn delete_switch(
        &self,
        endpoint: &str,
    ) -> impl Future<Output = Result<(), DownstreamError>> + Send;
    /// Stays in touch with the agent until that fails; calls `reported` once it answers, and again
    /// whenever the bridge is not as it was applied last.
    fn attend(
        &self,
        endpoint: &str,
        reported: impl FnMut() + Send,
    ) -> impl Future<Output = DownstreamError> + Send;
    /// Measures links for as long as the stream is there.
    fn watch_measurements(
        &self,
        endpoint: &str,
        request: WatchMeasurementsRequest,
    ) -> impl Future<Output = Result<Measurements, Status>> + Send;
}

/// What the DNS has of an endpoint, beside the name of its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// The address that it is found at.
    pub address: IpAddr,
    /// Another name by which it is found.
    pub alias: Option<Name>,
}

/// The names of endpoints in the DNS.
pub trait Names: Send + Sync + 'static {
    /// Stores the record of an endpoint, whole.
    fn apply_record(
        &self,
        key: &EndpointKey,
        record: &NameRecord,
    ) -> impl Future<Output = Result<(), DownstreamError>> + Send;
    /// Removes the record of an endpoint, if there is one.
    fn delete_record(
        &self,
        key: &EndpointKey,
    ) -> impl Future<Output = Result<(), DownstreamError>> + Send;
}

impl Fabric for Engine {
    async fn put_switch(&self, spec: SwitchSpec) {
        Engine::put_switch(self, spec).await;
    }

    async fn remove_switch(&self, id: DatapathId) {
        Engine::remove_switch(self, id).await;
    }

    async fn put_slice(&self, spec: SliceSpec) {
        Engine::put_slice(self, spec).await;
    }

    async fn remove_slice(&self, name: Name) {
        Engine::remove_slice(self, name).await;
    }

    async fn put_network(&self, spec: NetworkSpec) {
        Engine::put_network(self, spec).await;
    }

    async fn remove_network(&self, vni: Vni) {
        Engine::remove_network(self, vni).await;
    }

    async fn put_port(&self, spec: PortSpec) {
        Engine::put_port(self, spec).await;
    }

    async fn remove_port(&self, id: PortId) {
        Engine::remove_port(self, id).await;
    }

    async fn put_endpoint(&self, spec: EndpointSpec) {
        Engine::put_endpoint(self, spec).await;
    }

    async fn remove_endpoint(&self, vni: Vni, mac: MacAddress) {
        Engine::remove_endpoint(self, vni, mac).await;
    }

    async fn set_complete(&self) {
        Engine::set_complete(self).await;
    }

    async fn links(&self) -> Vec<LinkState> {
        Engine::links(self).await
    }
}
