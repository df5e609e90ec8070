use std::sync::Arc;

use l2sces_grpc::not_found;
use l2sces_proto::sco::v1::{
    ApplyGatewayRequest, ApplyGatewayResponse, ApplyNetworkMemberRequest,
    ApplyNetworkMemberResponse, ApplyNetworkRequest, ApplyNetworkResponse, ApplySliceMemberRequest,
    ApplySliceMemberResponse, ApplySliceRequest, ApplySliceResponse, DeleteGatewayRequest,
    DeleteGatewayResponse, DeleteNetworkMemberRequest, DeleteNetworkMemberResponse,
    DeleteNetworkRequest, DeleteNetworkResponse, DeleteSliceMemberRequest,
    DeleteSliceMemberResponse, DeleteSliceRequest, DeleteSliceResponse, Link, ListLinksRequest,
    ListLinksResponse, ObjectState as StateMessage, WatchRequest, WatchResponse,
    sco_service_server::ScoService,
};
use l2sces_trace::{Caused, TraceContext};
use tonic::{Request, Response, Status};

use super::{
    Messages,
    authority::{authorize, authorize_whole, caller},
    parse, parse_member, present,
    status::refusal,
    watch::watch,
};
use crate::{
    board::Change,
    domain::{GatewayKey, GatewayLink, Identity, Key, ObjectKey, Topology, Version},
    downstream::Fabric,
    measurements::LinkMeasurements,
    reconcile::Queues,
    status::{ObjectState, Problem, StatusBoard},
    store::{Deletion, Store},
};

/// Serves ScoService.
pub struct ScoApi<F> {
    store: Store,
    queues: Queues,
    status: Arc<StatusBoard>,
    fabric: F,
    measurements: Arc<LinkMeasurements>,
}

impl<F> ScoApi<F> {
    /// The service over these parts.
    pub fn new(
        store: Store,
        queues: Queues,
        status: Arc<StatusBoard>,
        fabric: F,
        measurements: Arc<LinkMeasurements>,
    ) -> Self {
        Self { store, queues, status, fabric, measurements }
    }

    /// How an object that has just been applied fares.
    fn state(
        &self,
        key: &ObjectKey,
        version: &Version,
        identity: Option<Identity>,
    ) -> StateMessage {
        let state = self.status.state(key, version).map_or_else(
            || ObjectState {
                version: version.clone(),
                identity,
                problem: Some(Problem::pending()),
            },
            |state| ObjectState::clone(&state),
        );
        present::object_state(key, &state)
    }
}

#[tonic::async_trait]
impl<F: Fabric> ScoService for ScoApi<F> {
    async fn apply_gateway(
        &self,
        request: Request<ApplyGatewayRequest>,
    ) -> Result<Response<ApplyGatewayResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner().gateway;
        let gateway = parse::request(|found| parse::gateway(found, message.as_ref()))?;
        authorize(caller.as_ref(), &gateway.key.cluster)?;
        self.store.apply_gateway(&gateway).await.map_err(|error| refusal("gateway.", error))?;
        self.queues.wake(Key::Gateway(gateway.key.clone()));
        // Their members may have named its address, or its former one.
        let slices = self.store.slices_by_members_of(&gateway.key).await;
        for slice in slices.map_err(|error| refusal("", error))? {
            self.queues.wake(Key::Slice(slice));
        }
        let state = self.state(&ObjectKey::Gateway(gateway.key), &gateway.version, None);
        Ok(Response::new(ApplyGatewayResponse { state: Some(state) }))
    }

    async fn delete_gateway(
        &self,
        request: Request<DeleteGatewayRequest>,
    ) -> Result<Response<DeleteGatewayResponse>, Status> {
        let caller = caller(&request);
        let DeleteGatewayRequest { key: message, force } = request.into_inner();
        let key = parse::request(|found| parse::gateway_key(found, "key", message.as_ref()))?;
        authorize(caller.as_ref(), &key.cluster)?;
        let deletion = self.store.delete_gateway(&key).await.map_err(|error| refusal("", error))?;
        if force {
            self.store.force_gateway(&key).await.map_err(|error| refusal("", error))?;
        }
        self.queues.wake(Key::Gateway(key));
        Ok(Response::new(DeleteGatewayResponse { gone: deletion == Deletion::Gone }))
    }

    async fn apply_slice(
        &self,
        request: Request<ApplySliceRequest>,
    ) -> Result<Response<ApplySliceResponse>, Status> {
        authorize_whole(caller(&request).as_ref())?;
        let message = request.into_inner().slice;
        let slice = parse::request(|found| parse::slice(found, message.as_ref()))?;
        self.store.apply_slice(&slice).await.map_err(|error| refusal("slice.", error))?;
        self.queues.wake(Key::Slice(slice.name.clone()));
        let state = self.state(&ObjectKey::Slice(slice.name), &slice.version, None);
        Ok(Response::new(ApplySliceResponse { state: Some(state) }))
    }

    async fn delete_slice(
        &self,
        request: Request<DeleteSliceRequest>,
    ) -> Result<Response<DeleteSliceResponse>, Status> {
        authorize_whole(caller(&request).as_ref())?;
        let message = request.into_inner();
        let name = parse::request(|found| parse::name(found, "name", &message.name))?;
        let deletion = self.store.delete_slice(&name).await.map_err(|error| refusal("", error))?;
        self.queues.wake(Key::Slice(name));
        Ok(Response::new(DeleteSliceResponse { gone: deletion == Deletion::Gone }))
    }

    async fn apply_network(
        &self,
        request: Request<ApplyNetworkRequest>,
    ) -> Result<Response<ApplyNetworkResponse>, Status> {
        authorize_whole(caller(&request).as_ref())?;
        let message = request.into_inner().network;
        let network = parse::request(|found| parse::network(found, message.as_ref()))?;
        let applied = self.store.apply_network(&network).await;
        // A refused call too may have begun something: the removal of a former network.
        self.queues.wake(Key::Network(network.key.clone()));
        let (_, identity) = applied.map_err(|error| refusal("network.", error))?;
        let key = ObjectKey::Network(network.key);
        let state = self.state(&key, &network.version, Some(identity));
        Ok(Response::new(ApplyNetworkResponse { state: Some(state) }))
    }

    async fn delete_network(
        &self,
        request: Request<DeleteNetworkRequest>,
    ) -> Result<Response<DeleteNetworkResponse>, Status> {
        authorize_whole(caller(&request).as_ref())?;
        let message = request.into_inner().key;
        let key = parse::request(|found| parse::network_key(found, "key", message.as_ref()))?;
        let deletion = self.store.delete_network(&key).await.map_err(|error| refusal("", error))?;
        self.queues.wake(Key::Network(key));
        Ok(Response::new(DeleteNetworkResponse { gone: deletion == Deletion::Gone }))
    }

    async fn apply_slice_member(
        &self,
        request: Request<ApplySliceMemberRequest>,
    ) -> Result<Response<ApplySliceMemberResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner().member;
        let member = parse::request(|found| parse_member::slice_member(found, message.as_ref()))?;
        authorize(caller.as_ref(), &member.cluster)?;
        let applied = self.store.apply_slice_member(&member).await;
        let (_, version) = applied.map_err(|error| refusal("member.", error))?;
        self.queues.wake(Key::Slice(member.slice.clone()));
        let state = self.state(&ObjectKey::Slice(member.slice), &version, None);
        let state = present::member_state(state, &member.version);
        Ok(Response::new(ApplySliceMemberResponse { state: Some(state) }))
    }

    async fn delete_slice_member(
        &self,
        request: Request<DeleteSliceMemberRequest>,
    ) -> Result<Response<DeleteSliceMemberResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner();
        let (slice, cluster) = parse::request(|found| {
            let slice = parse::name(found, "slice", &message.slice);
            let cluster = parse::name(found, "cluster", &message.cluster);
            slice.zip(cluster)
        })?;
        authorize(caller.as_ref(), &cluster)?;
        let deletion = self.store.delete_slice_member(&slice, &cluster).await;
        let deletion = deletion.map_err(|error| refusal("", error))?;
        self.queues.wake(Key::Slice(slice));
        Ok(Response::new(DeleteSliceMemberResponse { gone: deletion == Deletion::Gone }))
    }

    async fn apply_network_member(
        &self,
        request: Request<ApplyNetworkMemberRequest>,
    ) -> Result<Response<ApplyNetworkMemberResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner().member;
        let member = parse::request(|found| parse_member::network_member(found, message.as_ref()))?;
        authorize(caller.as_ref(), &member.cluster)?;
        let applied = self.store.apply_network_member(&member).await;
        let (_, version, identity) = applied.map_err(|error| refusal("member.", error))?;
        self.queues.wake(Key::Network(member.network.clone()));
        let state = self.state(&ObjectKey::Network(member.network), &version, Some(identity));
        let state = present::member_state(state, &member.version);
        Ok(Response::new(ApplyNetworkMemberResponse { state: Some(state) }))
    }

    async fn delete_network_member(
        &self,
        request: Request<DeleteNetworkMemberRequest>,
    ) -> Result<Response<DeleteNetworkMemberResponse>, Status> {
        let caller = caller(&request);
        let message = request.into_inner();
        let (network, cluster) = parse::request(|found| {
            let network = parse::network_key(found, "network", message.network.as_ref());
            network.zip(parse::name(found, "cluster", &message.cluster))
        })?;
        authorize(caller.as_ref(), &cluster)?;
        let deletion = self.store.delete_network_member(&network, &cluster).await;
        let deletion = deletion.map_err(|error| refusal("", error))?;
        self.queues.wake(Key::Network(network));
        Ok(Response::new(DeleteNetworkMemberResponse { gone: deletion == Deletion::Gone }))
    }

    async fn list_links(
        &self,
        request: Request<ListLinksRequest>,
    ) -> Result<Response<ListLinksResponse>, Status> {
        let slice = match request.into_inner().slice.as_str() {
            "" => None,
            name => {
                let name = parse::request(|found| parse::name(found, "slice", name))?;
                let stored = self.store.slice(&name).await.map_err(|error| refusal("", error))?;
                let stored = stored.ok_or_else(|| not_found("slice", name))?;
                Some(Topology::from(&stored.slice).links)
            }
        };
        let gateways = self.store.gateways().await.map_err(|error| refusal("", error))?;
        let gateways: Vec<_> = gateways.into_iter().map(|stored| stored.gateway.key).collect();
        let gateway = |id| gateways.iter().find(|key| key.datapath_id() == id);
        let is_listed = |source: &GatewayKey, target: &GatewayKey| {
            let joins = |a: &GatewayKey, b: &GatewayKey| a == source && b == target;
            let is_it = |it: &GatewayLink| joins(&it.a, &it.b) || joins(&it.b, &it.a);
            slice.as_ref().is_none_or(|links| links.iter().any(is_it))
        };
        let measurements = &self.measurements;
        let links = self.fabric.links().await.into_iter().filter_map(|link| {
            let (source, target) = (gateway(link.from.switch)?, gateway(link.to.switch)?);
            let interface = &link.from.interface;
            is_listed(source, target).then(|| Link {
                source: Some(present::gateway_key(source)),
                target: Some(present::gateway_key(target)),
                up: link.up,
                message: link.message,
                measurement: measurements.latest(source, interface),
                measurement_message: measurements.fault(source, interface).unwrap_or_default(),
            })
        });
        Ok(Response::new(ListLinksResponse { links: links.collect() }))
    }

    type WatchStream = Messages<WatchResponse>;

    async fn watch(
        &self,
        _request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let show = |change: &Caused<Change<ObjectKey, ObjectState>>| {
            let Change { key, before, after } = &change.what;
            let shown = match (before, after) {
                (_, Some(after)) => present::state_put(key, after),
                (Some(before), None) => present::state_deleted(key, before),
                (None, None) => return None,
            };
            Some(WatchResponse { traceparent: TraceContext::traceparent(change.cause), ..shown })
        };
        let messages = watch(self.status.board(), present::states_synced(), show);
        Ok(Response::new(messages))
    }
}
