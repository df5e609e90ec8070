use futures::StreamExt;
use l2sces_grpc::Channel;
use l2sces_model::Name;
use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{
        self as sco, ApplyGatewayRequest, ApplyNetworkMemberRequest, ApplySliceMemberRequest,
        DeleteGatewayRequest, DeleteNetworkMemberRequest, DeleteSliceMemberRequest, Link,
        ListLinksRequest, WatchRequest, sco_service_client::ScoServiceClient,
    },
};
use prost::Message;
use tonic::Status;

use super::{
    Board, Change, ChangeStream, ObjectKey, ObjectState, Objects, Trouble, surpassed,
    versions::Versions,
};
use crate::plan::NetworkKey;

/// What it is called in messages.
const SERVICE: &str = "the sco-provider";

/// The sco-provider, as this cluster speaks with it.
#[derive(Debug)]
pub(crate) struct Sco {
    client: ScoServiceClient<Channel>,
    cluster: Name,
    versions: Versions,
    pub(crate) board: Board,
}

impl Sco {
    pub(crate) fn new(channel: Channel, cluster: Name) -> Self {
        Self {
            client: ScoServiceClient::new(channel),
            cluster,
            versions: Versions::default(),
            board: Board::new(),
        }
    }

    /// Applies a gateway of this cluster.
    pub(crate) async fn apply_gateway(
        &self,
        node: &Name,
        uid: &str,
        agent_endpoint: String,
        underlay_address: String,
    ) -> Result<ObjectState, Trouble> {
        let key = ObjectKey::Gateway(node.clone());
        let mut gateway = sco::Gateway {
            key: Some(self.gateway_key(node)),
            version: None,
            agent_endpoint,
            underlay_address,
        };
        let generation = self.versions.generation(&key, gateway.encode_to_vec());
        if let Some(state) = self.board.covering(&key, uid, generation) {
            return Ok(state);
        }
        gateway.version = Some(version(uid, generation));
        let request = ApplyGatewayRequest { gateway: Some(gateway) };
        let answer = self.client.clone().apply_gateway(request).await;
        let state = answer.map(|answer| answer.into_inner().state);
        let state = self.applied(&key, uid, generation, state)?;
        self.board.answered(key, &state, |known| known.is_same_version(&state));
        Ok(state)
    }

    /// Applies this cluster's part of a slice.
    pub(crate) async fn apply_slice_member(
        &self,
        slice: &Name,
        uid: &str,
        gateways: Vec<String>,
        neighbors: Vec<String>,
    ) -> Result<ObjectState, Trouble> {
        let key = ObjectKey::Slice(slice.clone());
        let mut member = sco::SliceMember {
            slice: slice.to_string(),
            cluster: self.cluster.to_string(),
            version: None,
            gateways,
            neighbors,
        };
        let generation = self.versions.generation(&key, member.encode_to_vec());
        member.version = Some(version(uid, generation));
        let request = ApplySliceMemberRequest { member: Some(member) };
        let answer = self.client.clone().apply_slice_member(request).await;
        self.applied(&key, uid, generation, answer.map(|answer| answer.into_inner().state))
    }

    /// Applies this cluster's part of a network; answers with the network's identity.
    pub(crate) async fn apply_network_member(
        &self,
        network: &NetworkKey,
        uid: &str,
        cidr: String,
        address_range: String,
    ) -> Result<ObjectState, Trouble> {
        let key = ObjectKey::Network(network.clone());
        let mut member = sco::NetworkMember {
            network: Some(network_key(network)),
            cluster: self.cluster.to_string(),
            version: None,
            cidr,
            address_range,
        };
        let generation = self.versions.generation(&key, member.encode_to_vec());
        member.version = Some(version(uid, generation));
        let request = ApplyNetworkMemberRequest { member: Some(member) };
        let answer = self.client.clone().apply_network_member(request).await;
        self.applied(&key, uid, generation, answer.map(|answer| answer.into_inner().state))
    }

    /// Has a gateway removed, with `force` without waiting for its agent; whether nothing is left.
    pub(crate) async fn delete_gateway(&self, node: &Name, force: bool) -> Result<bool, Trouble> {
        let request = DeleteGatewayRequest { key: Some(self.gateway_key(node)), force };
        let answer = self.client.clone().delete_gateway(request).await;
        let key = ObjectKey::Gateway(node.clone());
        let gone = self.deleted(&key, answer.map(|answer| answer.into_inner().gone))?;
        if gone {
            self.board.told(key, None);
        }
        Ok(gone)
    }

    /// Has this cluster leave a slice; whether nothing of it is left there.
    pub(crate) async fn delete_slice_member(&self, slice: &Name) -> Result<bool, Trouble> {
        let request = DeleteSliceMemberRequest {
            slice: slice.to_string(),
            cluster: self.cluster.to_string(),
        };
        let answer = self.client.clone().delete_slice_member(request).await;
        self.deleted(
            &ObjectKey::Slice(slice.clone()),
            answer.map(|answer| answer.into_inner().gone),
        )
    }

    /// Has this cluster leave a network; whether nothing of it is left there.
    pub(crate) async fn delete_network_member(
        &self,
        network: &NetworkKey,
    ) -> Result<bool, Trouble> {
        let request = DeleteNetworkMemberRequest {
            network: Some(network_key(network)),
            cluster: self.cluster.to_string(),
        };
        let answer = self.client.clone().delete_network_member(request).await;
        self.deleted(
            &ObjectKey::Network(network.clone()),
            answer.map(|answer| answer.into_inner().gone),
        )
    }

    /// The links of a slice between clusters.
    pub(crate) async fn list_links(&self, slice: &Name) -> Result<Vec<Link>, Trouble> {
        let request = ListLinksRequest { slice: slice.to_string() };
        let answer = self.client.clone().list_links(request).await;
        let answer = answer.map_err(|status| Trouble::of_call(SERVICE, &status))?;
        Ok(answer.into_inner().links)
    }

    /// What the service is called, for [`follow`](super::follow).
    pub(crate) fn name() -> &'static str {
        SERVICE
    }

    /// Begins to tell how objects fare.
    pub(crate) async fn watch(&self) -> Result<ChangeStream, Status> {
        let stream = self.client.clone().watch(WatchRequest {}).await?.into_inner();
        let cluster = self.cluster.clone();
        Ok(Box::pin(stream.map(move |change| change.map(|change| read(&cluster, &change)))))
    }

    fn gateway_key(&self, node: &Name) -> sco::GatewayKey {
        sco::GatewayKey { cluster: self.cluster.to_string(), node: node.to_string() }
    }

    fn applied(
        &self,
        key: &ObjectKey,
        uid: &str,
        generation: i64,
        answer: Result<Option<sco::ObjectState>, Status>,
    ) -> Result<ObjectState, Trouble> {
        let state = answer.map_err(|status| Trouble::of_call(SERVICE, &status))?;
        let state = state_of(&state.unwrap_or_default());
        if state.uid == uid && state.generation > generation {
            self.versions.surpassed(key, state.generation);
            return Err(surpassed());
        }
        Ok(state)
    }

    fn deleted(&self, key: &ObjectKey, answer: Result<bool, Status>) -> Result<bool, Trouble> {
        let gone = answer.map_err(|status| Trouble::of_call(SERVICE, &status))?;
        if gone {
            self.versions.forget(key);
        }
        Ok(gone)
    }
}

fn version(uid: &str, generation: i64) -> sco::Version {
    sco::Version { uid: uid.to_owned(), generation }
}

fn network_key(key: &NetworkKey) -> sco::NetworkKey {
    sco::NetworkKey { slice: key.slice.to_string(), name: key.name.to_string() }
}

fn read(cluster: &Name, change: &sco::WatchResponse) -> Change {
    if change.kind() == ChangeKind::Synced {
        return Change::Synced;
    }
    let state = change.state.clone().unwrap_or_default();
    let Some(key) = state.key.as_ref().and_then(|key| object_key(cluster, key)) else {
        return Change::Other;
    };
    match change.kind() {
        ChangeKind::Deleted => Change::Gone(key),
        _ => Change::Put(key, state_of(&state)),
    }
}

/// The object, unless it is of another cluster.
fn object_key(cluster: &Name, key: &sco::ObjectKey) -> Option<ObjectKey> {
    use sco::object_key::Key;
    Some(match key.key.as_ref()? {
        Key::Gateway(gateway) if gateway.cluster == cluster.as_str() => {
            ObjectKey::Gateway(gateway.node.parse().ok()?)
        }
        Key::Gateway(_) => return None,
        Key::Slice(name) => ObjectKey::Slice(name.parse().ok()?),
        Key::Network(network) => ObjectKey::Network(NetworkKey {
            slice: network.slice.parse().ok()?,
            name: network.name.parse().ok()?,
        }),
    })
}

fn state_of(state: &sco::ObjectState) -> ObjectState {
    let version = state.version.clone().unwrap_or_default();
    let identity = state.network.unwrap_or_default();
    ObjectState {
        uid: version.uid,
        generation: version.generation,
        ready: state.ready,
        reason: state.reason.clone(),
        message: state.message.clone(),
        vni: identity.vni,
        mtu: identity.mtu,
        ..ObjectState::default()
    }
}
