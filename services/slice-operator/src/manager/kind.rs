//! Slices and networks, as far as they are treated alike.

use std::fmt;

use futures::{Stream, StreamExt};
use l2sces_grpc::Channel;
use l2sces_kubernetes::NetworkKey;
use l2sces_model::Name;
use l2sces_proto::{
    resource::v1::{ChangeKind, Condition, Metadata},
    slice::v1::{
        self as api, network_service_client::NetworkServiceClient,
        slice_service_client::SliceServiceClient,
    },
};
use l2sces_watch::{Change, ChangeStream};
use prost::Message;
use tonic::Status;

/// A kind of objects of the slice-manager.
pub(crate) trait Kind {
    /// What names one.
    type Key: Clone + Ord + fmt::Display;
    /// One of them.
    type Object: Clone + PartialEq + Message;
    /// What one is called.
    const WHAT: &'static str;

    fn metadata(object: &Self::Object) -> Metadata;
    fn set_metadata(object: &mut Self::Object, metadata: Metadata);
    fn conditions(object: &Self::Object) -> &[Condition];
    async fn create(channel: Channel, object: Self::Object) -> Result<Self::Object, Status>;
    async fn update(channel: Channel, object: Self::Object) -> Result<Self::Object, Status>;
    async fn get(channel: Channel, key: &Self::Key) -> Result<Self::Object, Status>;
    /// Asks for the deletion, if it has this etag still.
    async fn delete(channel: Channel, key: &Self::Key, etag: String) -> Result<(), Status>;
    /// Begins to tell of all.
    async fn watch(channel: Channel) -> Result<ChangeStream<Self::Key, Self::Object>, Status>;
}

/// Slices.
pub(crate) struct Slices;

/// Networks of all slices.
pub(crate) struct Networks;

impl Kind for Slices {
    type Key = Name;
    type Object = api::Slice;
    const WHAT: &'static str = "slice";

    fn metadata(slice: &api::Slice) -> Metadata {
        slice.metadata.clone().unwrap_or_default()
    }

    fn set_metadata(slice: &mut api::Slice, metadata: Metadata) {
        slice.metadata = Some(metadata);
    }

    fn conditions(slice: &api::Slice) -> &[Condition] {
        slice.status.as_ref().map(|status| &*status.conditions).unwrap_or_default()
    }

    async fn create(channel: Channel, slice: api::Slice) -> Result<api::Slice, Status> {
        let request = api::CreateSliceRequest { slice: Some(slice), ..Default::default() };
        let answer = SliceServiceClient::new(channel).create_slice(request).await?;
        Ok(answer.into_inner().slice.unwrap_or_default())
    }

    async fn update(channel: Channel, slice: api::Slice) -> Result<api::Slice, Status> {
        let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
        let answer = SliceServiceClient::new(channel).update_slice(request).await?;
        Ok(answer.into_inner().slice.unwrap_or_default())
    }

    async fn get(channel: Channel, name: &Name) -> Result<api::Slice, Status> {
        let request = api::GetSliceRequest { name: name.to_string() };
        let answer = SliceServiceClient::new(channel).get_slice(request).await?;
        Ok(answer.into_inner().slice.unwrap_or_default())
    }

    async fn delete(channel: Channel, name: &Name, etag: String) -> Result<(), Status> {
        let name = name.to_string();
        // Networks that it has may be others', and are not deleted with it.
        let request = api::DeleteSliceRequest { name, etag, ..Default::default() };
        SliceServiceClient::new(channel).delete_slice(request).await.map(drop)
    }

    async fn watch(channel: Channel) -> Result<ChangeStream<Name, api::Slice>, Status> {
        let request = api::WatchSlicesRequest::default();
        let stream = SliceServiceClient::new(channel).watch_slices(request).await?.into_inner();
        let keyed = |slice: api::Slice| Some((slice.metadata.as_ref()?.name.parse().ok()?, slice));
        Ok(changes(stream, move |change| (change.kind(), change.slice.and_then(keyed))))
    }
}

impl Kind for Networks {
    type Key = NetworkKey;
    type Object = api::Network;
    const WHAT: &'static str = "network";

    fn metadata(network: &api::Network) -> Metadata {
        network.metadata.clone().unwrap_or_default()
    }

    fn set_metadata(network: &mut api::Network, metadata: Metadata) {
        network.metadata = Some(metadata);
    }

    fn conditions(network: &api::Network) -> &[Condition] {
        network.status.as_ref().map(|status| &*status.conditions).unwrap_or_default()
    }

    async fn create(channel: Channel, network: api::Network) -> Result<api::Network, Status> {
        let request = api::CreateNetworkRequest { network: Some(network), ..Default::default() };
        let answer = NetworkServiceClient::new(channel).create_network(request).await?;
        Ok(answer.into_inner().network.unwrap_or_default())
    }

    async fn update(channel: Channel, network: api::Network) -> Result<api::Network, Status> {
        let request = api::UpdateNetworkRequest { network: Some(network), ..Default::default() };
        let answer = NetworkServiceClient::new(channel).update_network(request).await?;
        Ok(answer.into_inner().network.unwrap_or_default())
    }

    async fn get(channel: Channel, key: &NetworkKey) -> Result<api::Network, Status> {
        let (slice, name) = (key.slice.to_string(), key.name.to_string());
        let request = api::GetNetworkRequest { slice, name };
        let answer = NetworkServiceClient::new(channel).get_network(request).await?;
        Ok(answer.into_inner().network.unwrap_or_default())
    }

    async fn delete(channel: Channel, key: &NetworkKey, etag: String) -> Result<(), Status> {
        let (slice, name) = (key.slice.to_string(), key.name.to_string());
        // Its ports go with it, as pods lose the networks of their cluster.
        let request =
            api::DeleteNetworkRequest { slice, name, etag, force: true, ..Default::default() };
        NetworkServiceClient::new(channel).delete_network(request).await.map(drop)
    }

    async fn watch(channel: Channel) -> Result<ChangeStream<NetworkKey, api::Network>, Status> {
        let request = api::WatchNetworksRequest::default();
        let stream = NetworkServiceClient::new(channel).watch_networks(request).await?.into_inner();
        let keyed = |network: api::Network| {
            let name = network.metadata.as_ref()?.name.parse().ok()?;
            Some((NetworkKey { slice: network.slice.parse().ok()?, name }, network))
        };
        Ok(changes(stream, move |change| (change.kind(), change.network.and_then(keyed))))
    }
}

/// What a watch tells, out of the kinds and objects of its messages.
pub(super) fn changes<M: 'static, K: 'static, S: 'static>(
    stream: impl Stream<Item = Result<M, Status>> + Send + 'static,
    read: impl Fn(M) -> (ChangeKind, Option<(K, S)>) + Send + 'static,
) -> ChangeStream<K, S> {
    Box::pin(stream.map(move |message| {
        message.map(|message| match read(message) {
            (ChangeKind::Synced, _) => Change::Synced,
            (ChangeKind::Deleted, Some((key, _))) => Change::Gone(key),
            (ChangeKind::Put, Some((key, object))) => Change::Put(key, object),
            _ => Change::Other,
        })
    }))
}
