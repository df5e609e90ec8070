use std::sync::Arc;

use futures::StreamExt;
use l2sces_grpc::Channel;
use l2sces_model::Name;
use l2sces_proto::{
    fabric::v1::{
        self as fabric, ApplyNetworkRequest, ApplyNodeRequest, ApplySliceRequest,
        DeleteNetworkRequest, DeleteNodeRequest, DeletePortRequest, DeleteSliceRequest, Link,
        ListLinksRequest, WatchRequest, fabric_service_client::FabricServiceClient,
    },
    resource::v1::ChangeKind,
};
use prost::Message;
use tonic::Status;

use super::{
    Board, Change, ChangeStream, Feed, ObjectKey, ObjectState, Objects, Trouble, surpassed,
    versions::Versions,
};
use crate::plan::NetworkKey;

/// What it is called in messages.
const SERVICE: &str = "the sdn-controller";

/// The cluster's sdn-controller.
#[derive(Debug)]
pub(crate) struct Fabric {
    client: FabricServiceClient<Channel>,
    versions: Versions,
    pub(crate) board: Arc<Board>,
}

impl Fabric {
    /// The controller behind a channel, and what its feed tells.
    pub(crate) fn new(channel: Channel, feed: &Feed) -> Self {
        Self {
            client: FabricServiceClient::new(channel),
            versions: Versions::default(),
            board: Arc::clone(&feed.board),
        }
    }

    /// Keeps a feed of the controller behind a channel up to date, for ever.
    pub(crate) async fn keep(channel: Channel, feed: &Feed) {
        let client = FabricServiceClient::new(channel);
        feed.follow(async || {
            let stream = client.clone().watch(WatchRequest {}).await?.into_inner();
            let stream: ChangeStream = Box::pin(stream.map(|change| change.map(|it| read(&it))));
            Ok(stream)
        })
        .await;
    }

    /// Makes sure that the controller has a node, whose version is written here. Calls it only if it
    /// is not known to have it.
    pub(crate) async fn apply_node(
        &self,
        name: &Name,
        uid: &str,
        mut node: fabric::Node,
    ) -> Result<ObjectState, Trouble> {
        let key = ObjectKey::Node(name.clone());
        let generation = self.versions.generation(&key, node.encode_to_vec());
        if let Some(state) = self.board.covering(&key, uid, generation) {
            return Ok(state);
        }
        node.version = Some(version(uid, generation));
        let request = ApplyNodeRequest { node: Some(node) };
        let answer = self.client.clone().apply_node(request).await;
        self.applied(key, uid, generation, answer.map(|answer| answer.into_inner().state))
    }

    /// The same for a slice.
    pub(crate) async fn apply_slice(
        &self,
        name: &Name,
        uid: &str,
        mut slice: fabric::Slice,
    ) -> Result<ObjectState, Trouble> {
        let key = ObjectKey::Slice(name.clone());
        let generation = self.versions.generation(&key, slice.encode_to_vec());
        if let Some(state) = self.board.covering(&key, uid, generation) {
            return Ok(state);
        }
        slice.version = Some(version(uid, generation));
        let request = ApplySliceRequest { slice: Some(slice) };
        let answer = self.client.clone().apply_slice(request).await;
        self.applied(key, uid, generation, answer.map(|answer| answer.into_inner().state))
    }

    /// The same for a network.
    pub(crate) async fn apply_network(
        &self,
        key: &NetworkKey,
        uid: &str,
        mut network: fabric::Network,
    ) -> Result<ObjectState, Trouble> {
        let key = ObjectKey::Network(key.clone());
        let generation = self.versions.generation(&key, network.encode_to_vec());
        if let Some(state) = self.board.covering(&key, uid, generation) {
            return Ok(state);
        }
        network.version = Some(version(uid, generation));
        let request = ApplyNetworkRequest { network: Some(network) };
        let answer = self.client.clone().apply_network(request).await;
        self.applied(key, uid, generation, answer.map(|answer| answer.into_inner().state))
    }

    /// Has an object removed, with `force` without waiting for what it is made of; whether nothing
    /// of it is left.
    pub(crate) async fn delete(&self, key: &ObjectKey, force: bool) -> Result<bool, Trouble> {
        let mut client = self.client.clone();
        let gone = match key {
            ObjectKey::Node(name) => {
                let request = DeleteNodeRequest { name: name.to_string(), force };
                client.delete_node(request).await.map(|answer| answer.into_inner().gone)
            }
            ObjectKey::Slice(name) => {
                let request = DeleteSliceRequest { name: name.to_string() };
                client.delete_slice(request).await.map(|answer| answer.into_inner().gone)
            }
            ObjectKey::Network(network) => {
                let request = DeleteNetworkRequest { key: Some(network_key(network)) };
                client.delete_network(request).await.map(|answer| answer.into_inner().gone)
            }
            ObjectKey::Port(network, name) => {
                let key = fabric::PortKey {
                    slice: network.slice.to_string(),
                    network: network.name.to_string(),
                    name: name.to_string(),
                };
                let request = DeletePortRequest { key: Some(key), ..Default::default() };
                client.delete_port(request).await.map(|answer| answer.into_inner().gone)
            }
            // It has none of these.
            ObjectKey::Gateway(_) => Ok(true),
        };
        let gone = gone.map_err(|status| Trouble::of_call(SERVICE, &status))?;
        if gone {
            self.versions.forget(key);
            self.board.told(key.clone(), None);
        }
        Ok(gone)
    }

    /// The links of a slice, or all.
    pub(crate) async fn list_links(&self, slice: Option<&Name>) -> Result<Vec<Link>, Trouble> {
        let slice = slice.map(ToString::to_string).unwrap_or_default();
        let answer = self.client.clone().list_links(ListLinksRequest { slice }).await;
        let answer = answer.map_err(|status| Trouble::of_call(SERVICE, &status))?;
        Ok(answer.into_inner().links)
    }

    /// What it is called in messages.
    pub(crate) fn name() -> &'static str {
        SERVICE
    }

    fn applied(
        &self,
        key: ObjectKey,
        uid: &str,
        generation: i64,
        answer: Result<Option<fabric::ObjectState>, Status>,
    ) -> Result<ObjectState, Trouble> {
        let state = answer.map_err(|status| Trouble::of_call(SERVICE, &status))?;
        let state = ObjectState::from(&state.unwrap_or_default());
        if state.uid == uid && state.generation > generation {
            self.versions.surpassed(&key, state.generation);
            return Err(surpassed());
        }
        self.board.answered(key, &state, |known| known.is_same_version(&state));
        Ok(state)
    }
}

fn version(uid: &str, generation: i64) -> fabric::Version {
    fabric::Version { uid: uid.to_owned(), generation }
}

fn network_key(key: &NetworkKey) -> fabric::NetworkKey {
    fabric::NetworkKey { slice: key.slice.to_string(), name: key.name.to_string() }
}

fn read(change: &fabric::WatchResponse) -> Change {
    if change.kind() == ChangeKind::Synced {
        return Change::Synced;
    }
    let state = change.state.clone().unwrap_or_default();
    let Some(key) = state.key.as_ref().and_then(object_key) else { return Change::Other };
    match change.kind() {
        ChangeKind::Deleted => Change::Gone(key),
        _ => Change::Put(key, ObjectState::from(&state)),
    }
}

fn object_key(key: &fabric::ObjectKey) -> Option<ObjectKey> {
    use fabric::object_key::Key;
    let network = |slice: &str, name: &str| {
        Some(NetworkKey { slice: slice.parse().ok()?, name: name.parse().ok()? })
    };
    Some(match key.key.as_ref()? {
        Key::Node(name) => ObjectKey::Node(name.parse().ok()?),
        Key::Slice(name) => ObjectKey::Slice(name.parse().ok()?),
        Key::Network(key) => ObjectKey::Network(network(&key.slice, &key.name)?),
        Key::Port(port) => {
            ObjectKey::Port(network(&port.slice, &port.network)?, port.name.parse().ok()?)
        }
    })
}

impl From<&fabric::ObjectState> for ObjectState {
    fn from(state: &fabric::ObjectState) -> Self {
        let version = state.version.clone().unwrap_or_default();
        let given = state.port.clone().unwrap_or_default();
        Self {
            uid: version.uid,
            generation: version.generation,
            ready: state.ready,
            reason: state.reason.clone(),
            message: state.message.clone(),
            mac: given.mac,
            address: given.address,
            mtu: given.mtu,
            ..Self::default()
        }
    }
}
