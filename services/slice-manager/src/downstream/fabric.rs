use futures::StreamExt;
use l2sces_grpc::Channel;
use l2sces_proto::{
    fabric::v1::{self as fabric, fabric_service_client::FabricServiceClient},
    resource::v1::ChangeKind,
};
use l2sces_trace::{Caused, TraceContext};
use tonic::Status;

use super::{
    ClusterBody, Given, ObjectKey, ObjectState, Version,
    remote::{StateChange, StateStream},
};

/// An sdn-controller's API.
#[derive(Clone, Debug)]
pub struct FabricClient {
    client: FabricServiceClient<Channel>,
}

impl FabricClient {
    /// The API behind a channel.
    pub fn new(channel: Channel) -> Self {
        Self { client: FabricServiceClient::new(channel) }
    }

    /// Stores an object; how it fares.
    ///
    /// # Errors
    /// The controller refuses, or does not answer.
    pub(super) async fn apply(&self, body: ClusterBody) -> Result<ObjectState, Status> {
        let mut client = self.client.clone();
        let state = match body {
            ClusterBody::Node(node) => {
                let request = fabric::ApplyNodeRequest { node: Some(node) };
                client.apply_node(request).await?.into_inner().state
            }
            ClusterBody::Slice(part) => {
                let request = fabric::ApplySliceRequest { slice: Some(part.within) };
                client.apply_slice(request).await?.into_inner().state
            }
            ClusterBody::Network(network) => {
                let request = fabric::ApplyNetworkRequest { network: Some(network) };
                client.apply_network(request).await?.into_inner().state
            }
            ClusterBody::Port(port) => {
                let request = fabric::ApplyPortRequest { port: Some(port) };
                client.apply_port(request).await?.into_inner().state
            }
        };
        Ok(read(state.unwrap_or_default()))
    }

    /// Removes an object; whether nothing of it is left.
    ///
    /// # Errors
    /// The controller refuses, or does not answer.
    pub(super) async fn delete(&self, key: &ObjectKey, force: bool) -> Result<bool, Status> {
        let mut client = self.client.clone();
        match key {
            ObjectKey::Node(name) => {
                let request = fabric::DeleteNodeRequest { name: name.to_string(), force };
                Ok(client.delete_node(request).await?.into_inner().gone)
            }
            ObjectKey::Slice(name) => {
                let request = fabric::DeleteSliceRequest { name: name.to_string() };
                Ok(client.delete_slice(request).await?.into_inner().gone)
            }
            ObjectKey::Network { slice, name } => {
                let key = fabric::NetworkKey { slice: slice.to_string(), name: name.to_string() };
                let request = fabric::DeleteNetworkRequest { key: Some(key) };
                Ok(client.delete_network(request).await?.into_inner().gone)
            }
            ObjectKey::Port { slice, network, name } => {
                let key = fabric::PortKey {
                    slice: slice.to_string(),
                    network: network.to_string(),
                    name: name.to_string(),
                };
                let request = fabric::DeletePortRequest { key: Some(key), ..Default::default() };
                Ok(client.delete_port(request).await?.into_inner().gone)
            }
            // It has none of these.
            ObjectKey::Gateway { .. } => Ok(true),
        }
    }

    /// Begins to tell how objects fare.
    ///
    /// # Errors
    /// The controller refuses, or does not answer.
    pub(super) async fn watch(&self) -> Result<StateStream, Status> {
        let stream = self.client.clone().watch(fabric::WatchRequest {}).await?.into_inner();
        let changes = stream.filter_map(async |change| match change {
            Err(status) => Some(Err(status)),
            Ok(change) if change.kind == i32::from(ChangeKind::Synced) => {
                Some(Ok(Caused { what: StateChange::Synced, cause: None }))
            }
            Ok(change) => {
                let cause = TraceContext::received(&change.traceparent);
                let state = change.state.unwrap_or_default();
                let key = state.key.as_ref().and_then(object_key)?;
                let what = if change.kind == i32::from(ChangeKind::Deleted) {
                    StateChange::Gone(key)
                } else {
                    StateChange::Put(key, Box::new(read(state)))
                };
                Some(Ok(Caused { what, cause }))
            }
        });
        Ok(Box::pin(changes))
    }
}

impl From<&Version> for fabric::Version {
    fn from(version: &Version) -> Self {
        Self { uid: version.uid.to_string(), generation: version.generation }
    }
}

/// The object that the controller speaks of, if it is one that this service knows how to name.
fn object_key(key: &fabric::ObjectKey) -> Option<ObjectKey> {
    use fabric::object_key::Key;
    Some(match key.key.as_ref()? {
        Key::Node(name) => ObjectKey::Node(name.parse().ok()?),
        Key::Slice(name) => ObjectKey::Slice(name.parse().ok()?),
        Key::Network(network) => ObjectKey::Network {
            slice: network.slice.parse().ok()?,
            name: network.name.parse().ok()?,
        },
        Key::Port(port) => ObjectKey::Port {
            slice: port.slice.parse().ok()?,
            network: port.network.parse().ok()?,
            name: port.name.parse().ok()?,
        },
    })
}

fn read(state: fabric::ObjectState) -> ObjectState {
    let version = state.version.unwrap_or_default();
    let given = state.port.map_or(Given::Nothing, |port| Given::Port {
        mac: port.mac,
        address: port.address,
        interface_name: port.interface_name,
        learned_macs: port.learned_macs,
        conflicts: port.conflicts.into_iter().map(|conflict| conflict.message).collect(),
    });
    ObjectState {
        uid: version.uid,
        generation: version.generation,
        ready: state.ready,
        reason: state.reason,
        message: state.message,
        given,
    }
}
