//! The API of the fabric: what it means, and what its errors are.

mod convert;
mod request;
mod status;
mod watch;

use std::sync::Arc;

use l2sces_grpc::{Violations, not_found};
use l2sces_model::Name;
use l2sces_proto::fabric::v1::{
    ApplyNetworkRequest, ApplyNetworkResponse, ApplyNodeRequest, ApplyNodeResponse,
    ApplyPortRequest, ApplyPortResponse, ApplySliceRequest, ApplySliceResponse,
    DeleteNetworkRequest, DeleteNetworkResponse, DeleteNodeRequest, DeleteNodeResponse,
    DeletePortRequest, DeletePortResponse, DeleteSliceRequest, DeleteSliceResponse, Link,
    ListLinksRequest, ListLinksResponse, ListPortsRequest, ListPortsResponse, ListedPort,
    ObjectState, WatchRequest, fabric_service_server::FabricService,
};
use l2sces_reconcile::Queue;
use tonic::{Request, Response, Status};

use crate::{
    agent::Agents,
    attach,
    board::Board,
    domain::Key,
    exchange::Exchange,
    fabric::{Fabric, datapath_id},
    measurements::LinkMeasurements,
    store::{Existed, Store},
};

/// The service.
pub(crate) struct FabricApi {
    pub(crate) cluster: Name,
    pub(crate) store: Store,
    pub(crate) agents: Arc<dyn Agents>,
    pub(crate) exchange: Arc<dyn Exchange>,
    pub(crate) fabric: Arc<dyn Fabric>,
    pub(crate) board: Arc<Board>,
    pub(crate) queue: Queue<Key>,
    pub(crate) measurements: Arc<LinkMeasurements>,
}

impl FabricApi {
    /// Has an object looked at when a write of it failed: the database may have done it all the same.
    fn checked<T, E>(&self, key: Key, written: Result<T, E>) -> Result<T, E> {
        written.inspect_err(|_| self.queue.wake(key))
    }

    /// Has an object looked at, and answers how it fares now. If it was found being deleted, it may be gone
    /// since.
    fn accepted(&self, key: Key) -> Result<ObjectState, Status> {
        let state = self.board.state(&key).map(convert::state);
        let state = state.ok_or_else(|| {
            Status::aborted(format!("{key} has been removed meanwhile: apply it again"))
        });
        self.queue.wake(key);
        state
    }

    fn wake_nodes<'a>(&self, nodes: impl IntoIterator<Item = &'a Name>) {
        nodes.into_iter().for_each(|node| self.queue.wake(Key::Node(node.clone())));
    }
}

#[tonic::async_trait]
impl FabricService for FabricApi {
    type WatchStream = watch::Changes;

    async fn apply_node(
        &self,
        request: Request<ApplyNodeRequest>,
    ) -> Result<Response<ApplyNodeResponse>, Status> {
        let spec = request::node(request.into_inner(), |endpoint| self.agents.check(endpoint))?;
        let id = datapath_id(&self.cluster, &spec.name);
        let node = self.store.apply_node(&spec, id).await;
        let node = self.checked(Key::Node(spec.name.clone()), node)?;
        self.board.note_node(&node);
        // The far ends of its tunnels may have to follow.
        let peers = self.store.peers(&spec.name).await?;
        self.wake_nodes(peers.iter().map(|peer| &peer.spec.name));
        Ok(Response::new(ApplyNodeResponse { state: Some(self.accepted(Key::Node(spec.name))?) }))
    }

    async fn delete_node(
        &self,
        request: Request<DeleteNodeRequest>,
    ) -> Result<Response<DeleteNodeResponse>, Status> {
        let request = request.into_inner();
        let name = request::name(&request.name)?;
        let marked = self.store.mark_node(&name, request.force).await;
        let marked = self.checked(Key::Node(name.clone()), marked)?;
        if let Some(node) = &marked {
            self.board.note_node(node);
            // The slices lead their frames around it first; then its peers let go of it.
            for slice in self.store.slices_of(&name).await? {
                self.queue.wake(Key::Slice(slice));
            }
            self.queue.wake(Key::Node(name));
        }
        Ok(Response::new(DeleteNodeResponse { gone: marked.is_none() }))
    }

    async fn apply_slice(
        &self,
        request: Request<ApplySliceRequest>,
    ) -> Result<Response<ApplySliceResponse>, Status> {
        let spec = request::slice(request.into_inner())?;
        let stored = self.store.apply_slice(&spec).await;
        let stored = self.checked(Key::Slice(spec.name.clone()), stored)?;
        self.board.note_slice(&stored.slice);
        self.wake_nodes(stored.slice.spec.nodes.iter().chain(&stored.former_nodes));
        Ok(Response::new(ApplySliceResponse { state: Some(self.accepted(Key::Slice(spec.name))?) }))
    }

    async fn delete_slice(
        &self,
        request: Request<DeleteSliceRequest>,
    ) -> Result<Response<DeleteSliceResponse>, Status> {
        let name = request::name(&request.into_inner().name)?;
        let marked = self.store.mark_slice(&name).await;
        let marked = self.checked(Key::Slice(name.clone()), marked)?;
        if let Some(slice) = &marked {
            self.board.note_slice(slice);
            self.queue.wake(Key::Slice(name));
        }
        Ok(Response::new(DeleteSliceResponse { gone: marked.is_none() }))
    }

    async fn apply_network(
        &self,
        request: Request<ApplyNetworkRequest>,
    ) -> Result<Response<ApplyNetworkResponse>, Status> {
        let spec = request::network(request.into_inner())?;
        let applied = self.store.apply_network(&spec).await;
        let (network, existed) = self.checked(Key::Network(spec.key.clone()), applied)?;
        self.board.note_network(&network);
        if existed == Existed(true) {
            // Their MTU may have changed.
            for key in self.store.port_keys(&spec.key).await? {
                self.queue.wake(Key::Port(key));
            }
        }
        Ok(Response::new(ApplyNetworkResponse {
            state: Some(self.accepted(Key::Network(spec.key))?),
        }))
    }

    async fn delete_network(
        &self,
        request: Request<DeleteNetworkRequest>,
    ) -> Result<Response<DeleteNetworkResponse>, Status> {
        let key = request::network_key(request.into_inner().key)?;
        let marked = self.store.mark_network(&key).await;
        let marked = self.checked(Key::Network(key.clone()), marked)?;
        if let Some(network) = &marked {
            self.board.note_network(network);
            self.queue.wake(Key::Network(key));
        }
        Ok(Response::new(DeleteNetworkResponse { gone: marked.is_none() }))
    }

    async fn apply_port(
        &self,
        request: Request<ApplyPortRequest>,
    ) -> Result<Response<ApplyPortResponse>, Status> {
        let spec = request::port(request.into_inner())?;
        let stored = attach::apply_port(&self.store, self.exchange.as_ref(), &spec).await;
        let stored = self.checked(Key::Port(spec.key.clone()), stored)?;
        self.board.note_port(&stored.port);
        // The switch where it was has an interface to remove.
        self.wake_nodes(&stored.former_node);
        Ok(Response::new(ApplyPortResponse { state: Some(self.accepted(Key::Port(spec.key))?) }))
    }

    async fn delete_port(
        &self,
        request: Request<DeletePortRequest>,
    ) -> Result<Response<DeletePortResponse>, Status> {
        let (key, condition) = request::port_removal(request.into_inner())?;
        let marked = self.store.mark_port(&key, &condition).await;
        let marked = self.checked(Key::Port(key.clone()), marked)?;
        if let Some(port) = &marked {
            self.board.note_port(port);
            self.queue.wake(Key::Port(key));
        }
        Ok(Response::new(DeletePortResponse { gone: marked.is_none() }))
    }

    async fn list_ports(
        &self,
        request: Request<ListPortsRequest>,
    ) -> Result<Response<ListPortsResponse>, Status> {
        let filter = request::port_filter(request.get_ref())?;
        let ports = self.store.ports_where(&filter).await?.into_iter().map(|port| {
            let state = self.board.state(&Key::Port(port.key.clone())).map(convert::state);
            ListedPort { port: Some(convert::port(&port)), state }
        });
        Ok(Response::new(ListPortsResponse { ports: ports.collect() }))
    }

    async fn list_links(
        &self,
        request: Request<ListLinksRequest>,
    ) -> Result<Response<ListLinksResponse>, Status> {
        let slice = match request.into_inner().slice.as_str() {
            "" => None,
            name => {
                let name = request::slice_name(name)?;
                let slice = self.store.slice(&name).await?;
                Some(slice.ok_or_else(|| not_found("slice", name))?.links())
            }
        };
        let links = self.fabric.links().await.into_iter().filter_map(|link| {
            let source = self.board.node_of(link.from.switch)?;
            let target = self.board.node_of(link.to.switch)?;
            let mut of_slice = slice.iter().flatten();
            let joins = |a: &Name, b: &Name| *a == source && *b == target;
            if slice.is_some() && !of_slice.any(|it| joins(&it.a, &it.b) || joins(&it.b, &it.a)) {
                return None;
            }
            let (measurements, interface) = (&self.measurements, &link.from.interface);
            Some(Link {
                measurement: measurements.latest(&source, interface),
                measurement_message: measurements.fault(&source, interface).unwrap_or_default(),
                source_node: source.to_string(),
                target_node: target.to_string(),
                up: link.up,
                message: link.message,
            })
        });
        Ok(Response::new(ListLinksResponse { links: links.collect() }))
    }

    async fn watch(
        &self,
        _request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(watch::changes(&self.board)))
    }
}

/// The refusal of one field.
fn violation(field: &str, description: impl Into<String>) -> Status {
    let mut violations = Violations::new();
    violations.add(field, description);
    violations.into_status()
}

#[cfg(test)]
mod tests;
