use l2sces_proto::slice::v1::{self as api, cluster_service_server::ClusterService};
use tonic::{Request, Response, Status};

use super::{
    Api,
    answer::Shown,
    options, page,
    watch::{Told, WatchStream},
};
use crate::{
    domain::{Cluster, Key, Kind},
    store::Scope,
    validate,
};

#[tonic::async_trait]
impl ClusterService for Api {
    async fn create_cluster(
        &self,
        request: Request<api::CreateClusterRequest>,
    ) -> Result<Response<api::CreateClusterResponse>, Status> {
        let request = request.into_inner();
        let described = validate::cluster(request.cluster.as_ref(), self.intents.rules())?;
        let options =
            options("CreateCluster", &request, &request.request_id, request.validate_only);
        let stored = self.intents.create_cluster(described, options).await?;
        Ok(Response::new(api::CreateClusterResponse { cluster: Some(Cluster::show(&stored)) }))
    }

    async fn get_cluster(
        &self,
        request: Request<api::GetClusterRequest>,
    ) -> Result<Response<api::GetClusterResponse>, Status> {
        let stored = self.intents.get(&key(&request.into_inner().name)?).await?;
        Ok(Response::new(api::GetClusterResponse { cluster: Some(Cluster::show(&stored)) }))
    }

    async fn list_clusters(
        &self,
        request: Request<api::ListClustersRequest>,
    ) -> Result<Response<api::ListClustersResponse>, Status> {
        let request = request.into_inner();
        let scope = Scope::default();
        let size = page::size(request.page_size)?;
        let after = page::after(Kind::Cluster, scope, &request.page_token)?;
        let page = self.intents.list::<Cluster>(scope, &[], after.as_ref(), size).await?;
        Ok(Response::new(api::ListClustersResponse {
            next_page_token: page::next(scope, &page),
            clusters: page.resources.iter().map(Cluster::show).collect(),
        }))
    }

    async fn update_cluster(
        &self,
        request: Request<api::UpdateClusterRequest>,
    ) -> Result<Response<api::UpdateClusterResponse>, Status> {
        let request = request.into_inner();
        let described = validate::cluster(request.cluster.as_ref(), self.intents.rules())?;
        let options =
            options("UpdateCluster", &request, &request.request_id, request.validate_only);
        let stored = self.intents.update_cluster(described, request.force, options).await?;
        Ok(Response::new(api::UpdateClusterResponse { cluster: Some(Cluster::show(&stored)) }))
    }

    async fn delete_cluster(
        &self,
        request: Request<api::DeleteClusterRequest>,
    ) -> Result<Response<api::DeleteClusterResponse>, Status> {
        let request = request.into_inner();
        let key = key(&request.name)?;
        let options =
            options("DeleteCluster", &request, &request.request_id, request.validate_only);
        let stored =
            self.intents.delete_cluster(&key, &request.etag, request.force, options).await?;
        Ok(Response::new(api::DeleteClusterResponse { cluster: Some(Cluster::show(&stored)) }))
    }

    type WatchClustersStream = WatchStream<api::WatchClustersResponse>;

    async fn watch_clusters(
        &self,
        request: Request<api::WatchClustersRequest>,
    ) -> Result<Response<Self::WatchClustersStream>, Status> {
        let after = request.into_inner().after_revision;
        let wrap = |told: Told<api::Cluster>| api::WatchClustersResponse {
            kind: told.kind.into(),
            cluster: told.resource,
            revision: told.revision,
        };
        let stream = self.watches.begin::<Cluster, _>(Scope::default(), after, wrap).await?;
        Ok(Response::new(stream))
    }
}

fn key(name: &str) -> Result<Key, validate::Report> {
    let [name] = validate::named([("name", name)])?;
    Ok(Key::Cluster(name))
}
