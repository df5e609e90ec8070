use l2sces_proto::{
    resource::v1::{Condition, Metadata},
    slice::v1::{
        Cluster, CreateClusterRequest, DeleteClusterRequest, GetClusterRequest,
        ListClustersRequest, UpdateClusterRequest, WatchClustersRequest, cluster_spec::Driver,
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

impl Resource for Cluster {
    const KIND: Kind = Kind::Cluster;
    const NAME_COLUMNS: &'static [&'static str] = &["NAME"];
    const COLUMNS: &'static [&'static str] = &["NODES"];

    fn key(&self) -> Key {
        Key { name: self.metadata().name.clone(), ..Key::default() }
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
        let ready = self.status.iter().flat_map(|status| &status.nodes).filter(|node| node.ready);
        let all = self.spec.as_ref().map_or(0, |spec| spec.nodes.len());
        let driver = self.spec.as_ref().and_then(|spec| spec.driver.as_ref());
        match driver {
            // How its nodes fare its Overlays tell.
            Some(Driver::Kubernetes(_)) => vec![all.to_string()],
            _ => vec![format!("{}/{all}", ready.count())],
        }
    }

    fn manifest(&self) -> Manifest {
        Manifest::Cluster(self.clone().into())
    }

    fn wants_the_same_as(&self, stored: &Self) -> bool {
        self.spec == stored.spec
    }

    async fn create(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status> {
        let request = CreateClusterRequest {
            cluster: Some(resource),
            request_id: options.request_id,
            validate_only: options.validate_only,
        };
        present(api.clusters.clone().create_cluster(request).await?.into_inner().cluster)
    }

    async fn get(api: &Api, key: &Key) -> Result<Self, Status> {
        let request = GetClusterRequest { name: key.name.clone() };
        present(api.clusters.clone().get_cluster(request).await?.into_inner().cluster)
    }

    async fn list(api: &Api, _: &Scope, page_token: String) -> Result<Page<Self>, Status> {
        let request = ListClustersRequest { page_size: PAGE_SIZE, page_token };
        let page = api.clusters.clone().list_clusters(request).await?.into_inner();
        Ok((page.clusters, page.next_page_token))
    }

    async fn update(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status> {
        let request = UpdateClusterRequest {
            cluster: Some(resource),
            request_id: options.request_id,
            validate_only: options.validate_only,
            force: options.force,
        };
        present(api.clusters.clone().update_cluster(request).await?.into_inner().cluster)
    }

    async fn delete(api: &Api, key: &Key, options: DeleteOptions) -> Result<Self, Status> {
        let request = DeleteClusterRequest {
            name: key.name.clone(),
            etag: options.etag,
            request_id: options.write.request_id,
            validate_only: options.write.validate_only,
            force: options.force,
        };
        present(api.clusters.clone().delete_cluster(request).await?.into_inner().cluster)
    }

    async fn watch(api: &Api, _: &Scope, after_revision: i64) -> Result<Changes<Self>, Status> {
        let request = WatchClustersRequest { after_revision };
        let responses = api.clusters.clone().watch_clusters(request).await?.into_inner();
        Ok(Box::pin(responses.map(|response| {
            let response = response?;
            change(response.kind(), response.cluster, response.revision)
        })))
    }
}
