use l2sces_proto::{
    resource::v1::{Condition, Metadata},
    slice::v1::{
        ClusterPods, CreateNetworkRequest, DeleteNetworkRequest, GetNetworkRequest,
        ListNetworksRequest, Network, UpdateNetworkRequest, WatchNetworksRequest,
    },
};
use tokio_stream::StreamExt;
use tonic::Status;

use super::{
    Changes, DeleteOptions, Key, NO_METADATA, PAGE_SIZE, Page, Resource, Scope, WriteOptions,
    change, present,
};
use crate::{
    manifest::{Kind, Manifest},
    session::Api,
};

impl Resource for Network {
    const KIND: Kind = Kind::Network;
    const NAME_COLUMNS: &'static [&'static str] = &["SLICE", "NAME"];
    const COLUMNS: &'static [&'static str] = &["VNI", "CIDR", "MTU", "PODS"];

    fn key(&self) -> Key {
        Key { slice: self.slice.clone(), name: self.metadata().name.clone(), ..Key::default() }
    }

    fn metadata(&self) -> &Metadata {
        self.metadata.as_ref().unwrap_or(&NO_METADATA)
    }

    fn metadata_mut(&mut self) -> &mut Metadata {
        self.metadata.get_or_insert_default()
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn cells(&self) -> Vec<String> {
        let status = self.status.as_ref();
        // 0 is "not known yet".
        let number = |number: u32| if number == 0 { String::new() } else { number.to_string() };
        vec![
            number(status.map_or(0, |status| status.vni)),
            self.spec.as_ref().map(|spec| spec.cidr.clone()).unwrap_or_default(),
            number(status.map_or(0, |status| status.mtu)),
            status.map(|status| pods(&status.pods)).unwrap_or_default(),
        ]
    }

    fn manifest(&self) -> Manifest {
        Manifest::Network(self.clone().into())
    }

    fn wants_the_same_as(&self, stored: &Self) -> bool {
        self.spec == stored.spec
    }

    async fn create(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status> {
        let request = CreateNetworkRequest {
            network: Some(resource),
            request_id: options.request_id,
            validate_only: options.validate_only,
        };
        present(api.networks.clone().create_network(request).await?.into_inner().network)
    }

    async fn get(api: &Api, key: &Key) -> Result<Self, Status> {
        let request = GetNetworkRequest { slice: key.slice.clone(), name: key.name.clone() };
        present(api.networks.clone().get_network(request).await?.into_inner().network)
    }

    async fn list(api: &Api, scope: &Scope, page_token: String) -> Result<Page<Self>, Status> {
        let request =
            ListNetworksRequest { page_size: PAGE_SIZE, page_token, slice: scope.slice.clone() };
        let page = api.networks.clone().list_networks(request).await?.into_inner();
        Ok((page.networks, page.next_page_token))
    }

    async fn update(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status> {
        let request = UpdateNetworkRequest {
            network: Some(resource),
            request_id: options.request_id,
            validate_only: options.validate_only,
            force: options.force,
        };
        present(api.networks.clone().update_network(request).await?.into_inner().network)
    }

    async fn delete(api: &Api, key: &Key, options: DeleteOptions) -> Result<Self, Status> {
        let request = DeleteNetworkRequest {
            slice: key.slice.clone(),
            name: key.name.clone(),
            etag: options.etag,
            request_id: options.write.request_id,
            validate_only: options.write.validate_only,
            force: options.force,
        };
        present(api.networks.clone().delete_network(request).await?.into_inner().network)
    }

    async fn watch(api: &Api, scope: &Scope, after_revision: i64) -> Result<Changes<Self>, Status> {
        let request = WatchNetworksRequest { after_revision, slice: scope.slice.clone() };
        let responses = api.networks.clone().watch_networks(request).await?.into_inner();
        Ok(Box::pin(responses.map(|response| {
            let response = response?;
            change(response.kind(), response.network, response.revision)
        })))
    }
}

/// How many pods there are in each cluster.
fn pods(pods: &[ClusterPods]) -> String {
    let cells: Vec<_> = pods.iter().map(|of| format!("{}:{}", of.cluster, of.attached)).collect();
    cells.join(",")
}
