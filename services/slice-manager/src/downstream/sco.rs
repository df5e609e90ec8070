use futures::StreamExt;
use l2sces_grpc::Channel;
use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{self as sco, sco_service_client::ScoServiceClient},
};
use l2sces_trace::{Caused, TraceContext};
use tonic::Status;

use super::{
    Given, ObjectKey, ObjectState, Version,
    remote::{Service, StateChange, StateStream},
};

/// The sco-provider's API.
#[derive(Clone, Debug)]
pub struct ScoClient {
    client: ScoServiceClient<Channel>,
}

/// An object of the sco-provider.
#[derive(Clone, Debug)]
pub enum ScoBody {
    /// A gateway.
    Gateway(sco::Gateway),
    /// The part of a slice between clusters.
    Slice(sco::Slice),
    /// A network.
    Network(sco::Network),
}

impl ScoClient {
    /// The API behind a channel.
    pub fn new(channel: Channel) -> Self {
        Self { client: ScoServiceClient::new(channel) }
    }
}

impl Service for ScoClient {
    type Body = ScoBody;

    async fn apply(&self, body: ScoBody) -> Result<ObjectState, Status> {
        let mut client = self.client.clone();
        let state = match body {
            ScoBody::Gateway(gateway) => {
                let request = sco::ApplyGatewayRequest { gateway: Some(gateway) };
                client.apply_gateway(request).await?.into_inner().state
            }
            ScoBody::Slice(slice) => {
                let request = sco::ApplySliceRequest { slice: Some(slice) };
                client.apply_slice(request).await?.into_inner().state
            }
            ScoBody::Network(network) => {
                let request = sco::ApplyNetworkRequest { network: Some(network) };
                client.apply_network(request).await?.into_inner().state
            }
        };
        Ok(read(state.unwrap_or_default()))
    }

    async fn delete(&self, key: &ObjectKey, force: bool) -> Result<bool, Status> {
        let mut client = self.client.clone();
        match key {
            ObjectKey::Gateway { cluster, node } => {
                let key = sco::GatewayKey { cluster: cluster.to_string(), node: node.to_string() };
                let request = sco::DeleteGatewayRequest { key: Some(key), force };
                Ok(client.delete_gateway(request).await?.into_inner().gone)
            }
            ObjectKey::Slice(name) => {
                let request = sco::DeleteSliceRequest { name: name.to_string() };
                Ok(client.delete_slice(request).await?.into_inner().gone)
            }
            ObjectKey::Network { slice, name } => {
                let key = sco::NetworkKey { slice: slice.to_string(), name: name.to_string() };
                let request = sco::DeleteNetworkRequest { key: Some(key) };
                Ok(client.delete_network(request).await?.into_inner().gone)
            }
            // It has none of these.
            ObjectKey::Node(_) | ObjectKey::Port { .. } => Ok(true),
        }
    }

    async fn watch(&self) -> Result<StateStream, Status> {
        let stream = self.client.clone().watch(sco::WatchRequest {}).await?.into_inner();
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

impl From<&Version> for sco::Version {
    fn from(version: &Version) -> Self {
        Self { uid: version.uid.to_string(), generation: version.generation }
    }
}

/// The object that the service speaks of, if it is one that this service knows how to name.
fn object_key(key: &sco::ObjectKey) -> Option<ObjectKey> {
    use sco::object_key::Key;
    Some(match key.key.as_ref()? {
        Key::Gateway(gateway) => ObjectKey::Gateway {
            cluster: gateway.cluster.parse().ok()?,
            node: gateway.node.parse().ok()?,
        },
        Key::Slice(name) => ObjectKey::Slice(name.parse().ok()?),
        Key::Network(network) => ObjectKey::Network {
            slice: network.slice.parse().ok()?,
            name: network.name.parse().ok()?,
        },
    })
}

fn read(state: sco::ObjectState) -> ObjectState {
    let version = state.version.unwrap_or_default();
    let given = state
        .network
        .map_or(Given::Nothing, |network| Given::Network { vni: network.vni, mtu: network.mtu });
    ObjectState {
        uid: version.uid,
        generation: version.generation,
        ready: state.ready,
        reason: state.reason,
        message: state.message,
        given,
    }
}
