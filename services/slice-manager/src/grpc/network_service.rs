use l2sces_proto::slice::v1::{self as api, network_service_server::NetworkService};
use tonic::{Request, Response, Status};

use super::{
    Api,
    answer::Shown,
    options, page,
    watch::{Told, WatchStream},
};
use crate::{
    domain::{Key, Kind, Network, Port},
    store::Scope,
    validate::{self, Report},
};

#[tonic::async_trait]
impl NetworkService for Api {
    async fn create_network(
        &self,
        request: Request<api::CreateNetworkRequest>,
    ) -> Result<Response<api::CreateNetworkResponse>, Status> {
        let request = request.into_inner();
        let described = validate::network(request.network.as_ref())?;
        let options =
            options("CreateNetwork", &request, &request.request_id, request.validate_only);
        let stored = self.intents.create_network(described, options).await?;
        Ok(Response::new(api::CreateNetworkResponse { network: Some(Network::show(&stored)) }))
    }

    async fn get_network(
        &self,
        request: Request<api::GetNetworkRequest>,
    ) -> Result<Response<api::GetNetworkResponse>, Status> {
        let request = request.into_inner();
        let stored = self.intents.get(&network_key(&request.slice, &request.name)?).await?;
        Ok(Response::new(api::GetNetworkResponse { network: Some(Network::show(&stored)) }))
    }

    async fn list_networks(
        &self,
        request: Request<api::ListNetworksRequest>,
    ) -> Result<Response<api::ListNetworksResponse>, Status> {
        let request = request.into_inner();
        let scope = Scope { slice: &request.slice, network: "" };
        let size = page::size(request.page_size)?;
        let after = page::after(Kind::Network, scope, &request.page_token)?;
        let parents = parents(scope)?;
        let page = self.intents.list::<Network>(scope, &parents, after.as_ref(), size).await?;
        Ok(Response::new(api::ListNetworksResponse {
            next_page_token: page::next(scope, &page),
            networks: page.resources.iter().map(Network::show).collect(),
        }))
    }

    async fn update_network(
        &self,
        request: Request<api::UpdateNetworkRequest>,
    ) -> Result<Response<api::UpdateNetworkResponse>, Status> {
        let request = request.into_inner();
        let described = validate::network(request.network.as_ref())?;
        let options =
            options("UpdateNetwork", &request, &request.request_id, request.validate_only);
        let stored = self.intents.update_network(described, request.force, options).await?;
        Ok(Response::new(api::UpdateNetworkResponse { network: Some(Network::show(&stored)) }))
    }

    async fn delete_network(
        &self,
        request: Request<api::DeleteNetworkRequest>,
    ) -> Result<Response<api::DeleteNetworkResponse>, Status> {
        let request = request.into_inner();
        let key = network_key(&request.slice, &request.name)?;
        let options =
            options("DeleteNetwork", &request, &request.request_id, request.validate_only);
        let stored =
            self.intents.delete_network(&key, &request.etag, request.force, options).await?;
        Ok(Response::new(api::DeleteNetworkResponse { network: Some(Network::show(&stored)) }))
    }

    type WatchNetworksStream = WatchStream<api::WatchNetworksResponse>;

    async fn watch_networks(
        &self,
        request: Request<api::WatchNetworksRequest>,
    ) -> Result<Response<Self::WatchNetworksStream>, Status> {
        let request = request.into_inner();
        let scope = Scope { slice: &request.slice, network: "" };
        // A watch may begin before its slice exists, and tells of the end of its networks.
        parents(scope)?;
        let wrap = |told: Told<api::Network>| api::WatchNetworksResponse {
            kind: told.kind.into(),
            network: told.resource,
            revision: told.revision,
        };
        let stream = self.watches.begin::<Network, _>(scope, request.after_revision, wrap).await?;
        Ok(Response::new(stream))
    }

    async fn attach_port(
        &self,
        request: Request<api::AttachPortRequest>,
    ) -> Result<Response<api::AttachPortResponse>, Status> {
        let request = request.into_inner();
        let described = validate::port(request.port.as_ref())?;
        let options = options("AttachPort", &request, &request.request_id, request.validate_only);
        let stored = self.intents.attach_port(described, options).await?;
        Ok(Response::new(api::AttachPortResponse { port: Some(Port::show(&stored)) }))
    }

    async fn get_port(
        &self,
        request: Request<api::GetPortRequest>,
    ) -> Result<Response<api::GetPortResponse>, Status> {
        let request = request.into_inner();
        let key = port_key(&request.slice, &request.network, &request.name)?;
        let stored = self.intents.get(&key).await?;
        Ok(Response::new(api::GetPortResponse { port: Some(Port::show(&stored)) }))
    }

    async fn list_ports(
        &self,
        request: Request<api::ListPortsRequest>,
    ) -> Result<Response<api::ListPortsResponse>, Status> {
        let request = request.into_inner();
        let scope = Scope { slice: &request.slice, network: &request.network };
        let size = page::size(request.page_size)?;
        let after = page::after(Kind::Port, scope, &request.page_token)?;
        let parents = parents(scope)?;
        let page = self.intents.list::<Port>(scope, &parents, after.as_ref(), size).await?;
        Ok(Response::new(api::ListPortsResponse {
            next_page_token: page::next(scope, &page),
            ports: page.resources.iter().map(Port::show).collect(),
        }))
    }

    async fn detach_port(
        &self,
        request: Request<api::DetachPortRequest>,
    ) -> Result<Response<api::DetachPortResponse>, Status> {
        let request = request.into_inner();
        let key = port_key(&request.slice, &request.network, &request.name)?;
        let options = options("DetachPort", &request, &request.request_id, request.validate_only);
        let stored = self.intents.detach_port(&key, &request.etag, options).await?;
        Ok(Response::new(api::DetachPortResponse { port: Some(Port::show(&stored)) }))
    }

    type WatchPortsStream = WatchStream<api::WatchPortsResponse>;

    async fn watch_ports(
        &self,
        request: Request<api::WatchPortsRequest>,
    ) -> Result<Response<Self::WatchPortsStream>, Status> {
        let request = request.into_inner();
        let scope = Scope { slice: &request.slice, network: &request.network };
        parents(scope)?;
        let wrap = |told: Told<api::Port>| api::WatchPortsResponse {
            kind: told.kind.into(),
            port: told.resource,
            revision: told.revision,
        };
        let stream = self.watches.begin::<Port, _>(scope, request.after_revision, wrap).await?;
        Ok(Response::new(stream))
    }
}

fn network_key(slice: &str, name: &str) -> Result<Key, Report> {
    let [slice, name] = validate::named([("slice", slice), ("name", name)])?;
    Ok(Key::Network { slice, name })
}

fn port_key(slice: &str, network: &str, name: &str) -> Result<Key, Report> {
    let [slice, network, name] =
        validate::named([("slice", slice), ("network", network), ("name", name)])?;
    Ok(Key::Port { slice, network, name })
}

/// The slice and network that narrow a list or watch, outermost first.
fn parents(scope: Scope<'_>) -> Result<Vec<Key>, Report> {
    validate::optional_names(&[("slice", scope.slice), ("network", scope.network)])?;
    let slice = (!scope.slice.is_empty()).then_some(("slice", "", scope.slice));
    let network = (!scope.network.is_empty()).then_some(("network", scope.slice, scope.network));
    let parents = slice.into_iter().chain(network);
    parents
        .map(|(kind, slice, name)| Key::from_parts(kind, slice, "", name))
        .map(|key| key.map_err(|error| Report::of("slice", error.to_string())))
        .collect()
}
