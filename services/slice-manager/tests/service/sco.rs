//! An sco-provider that only remembers.

use std::pin::Pin;

use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{
        self as sco,
        sco_service_server::{ScoService, ScoServiceServer},
    },
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, service::Routes};

use crate::fake::{Fake, Object, Told};

pub(crate) struct FakeSco(Fake);

pub(crate) fn routes(fake: Fake) -> Routes {
    Routes::new(ScoServiceServer::new(FakeSco(fake)))
}

fn version(version: Option<sco::Version>) -> (String, i64) {
    let version = version.unwrap();
    (version.uid, version.generation)
}

fn key(text: &str) -> sco::ObjectKey {
    use sco::object_key::Key;
    let parts: Vec<&str> = text.split('/').collect();
    let own = |text: &str| text.to_owned();
    let key = match parts.as_slice() {
        ["gateway", cluster, node] => {
            Key::Gateway(sco::GatewayKey { cluster: own(cluster), node: own(node) })
        }
        ["slice", slice] => Key::Slice(own(slice)),
        ["network", slice, name] => {
            Key::Network(sco::NetworkKey { slice: own(slice), name: own(name) })
        }
        _ => panic!("{text}"),
    };
    sco::ObjectKey { key: Some(key) }
}

fn state(text: &str, object: &Object) -> sco::ObjectState {
    let given = text
        .starts_with("network/")
        .then(|| sco::NetworkIdentity { vni: 1_000 + object.number, mtu: 1_438 });
    sco::ObjectState {
        key: Some(key(text)),
        version: Some(sco::Version { uid: object.uid.clone(), generation: object.generation }),
        ready: object.ready,
        reason: if object.ready { String::new() } else { "NotThere".to_owned() },
        message: object.message.clone(),
        network: given,
    }
}

fn told((text, object): &Told) -> sco::WatchResponse {
    match object {
        Some(object) => sco::WatchResponse {
            kind: ChangeKind::Put.into(),
            state: Some(state(text, object)),
            ..Default::default()
        },
        None => sco::WatchResponse {
            kind: ChangeKind::Deleted.into(),
            state: Some(sco::ObjectState { key: Some(key(text)), ..Default::default() }),
            ..Default::default()
        },
    }
}

#[tonic::async_trait]
impl ScoService for FakeSco {
    async fn apply_gateway(
        &self,
        request: Request<sco::ApplyGatewayRequest>,
    ) -> Result<Response<sco::ApplyGatewayResponse>, Status> {
        let gateway = request.into_inner().gateway.unwrap();
        let key = gateway.key.clone().unwrap();
        let text = format!("gateway/{}/{}", key.cluster, key.node);
        let body = format!("{gateway:?}");
        let object = self.0.apply(text.clone(), version(gateway.version), body).await?;
        Ok(Response::new(sco::ApplyGatewayResponse { state: Some(state(&text, &object)) }))
    }

    async fn delete_gateway(
        &self,
        request: Request<sco::DeleteGatewayRequest>,
    ) -> Result<Response<sco::DeleteGatewayResponse>, Status> {
        let key = request.into_inner().key.unwrap();
        let gone = self.0.delete(format!("gateway/{}/{}", key.cluster, key.node), false).await?;
        Ok(Response::new(sco::DeleteGatewayResponse { gone }))
    }

    async fn apply_slice(
        &self,
        request: Request<sco::ApplySliceRequest>,
    ) -> Result<Response<sco::ApplySliceResponse>, Status> {
        let slice = request.into_inner().slice.unwrap();
        for key in &slice.gateways {
            if self.0.object(&format!("gateway/{}/{}", key.cluster, key.node)).is_none() {
                return Err(Status::failed_precondition("no gateway"));
            }
        }
        let text = format!("slice/{}", slice.name);
        let body = format!("{slice:?}");
        let object = self.0.apply(text.clone(), version(slice.version), body).await?;
        Ok(Response::new(sco::ApplySliceResponse { state: Some(state(&text, &object)) }))
    }

    async fn delete_slice(
        &self,
        request: Request<sco::DeleteSliceRequest>,
    ) -> Result<Response<sco::DeleteSliceResponse>, Status> {
        let name = request.into_inner().name;
        let networks = format!("network/{name}/");
        if self.0.keys().iter().any(|key| key.starts_with(&networks)) {
            return Err(Status::failed_precondition("it has networks"));
        }
        let gone = self.0.delete(format!("slice/{name}"), false).await?;
        Ok(Response::new(sco::DeleteSliceResponse { gone }))
    }

    async fn apply_network(
        &self,
        request: Request<sco::ApplyNetworkRequest>,
    ) -> Result<Response<sco::ApplyNetworkResponse>, Status> {
        let network = request.into_inner().network.unwrap();
        let key = network.key.clone().unwrap();
        if self.0.object(&format!("slice/{}", key.slice)).is_none() {
            return Err(Status::failed_precondition("no slice"));
        }
        let text = format!("network/{}/{}", key.slice, key.name);
        let body = format!("{network:?}");
        let object = self.0.apply(text.clone(), version(network.version), body).await?;
        Ok(Response::new(sco::ApplyNetworkResponse { state: Some(state(&text, &object)) }))
    }

    async fn delete_network(
        &self,
        request: Request<sco::DeleteNetworkRequest>,
    ) -> Result<Response<sco::DeleteNetworkResponse>, Status> {
        let key = request.into_inner().key.unwrap();
        let gone = self.0.delete(format!("network/{}/{}", key.slice, key.name), false).await?;
        Ok(Response::new(sco::DeleteNetworkResponse { gone }))
    }

    async fn apply_slice_member(
        &self,
        _: Request<sco::ApplySliceMemberRequest>,
    ) -> Result<Response<sco::ApplySliceMemberResponse>, Status> {
        Err(Status::unimplemented("operators describe members"))
    }

    async fn delete_slice_member(
        &self,
        _: Request<sco::DeleteSliceMemberRequest>,
    ) -> Result<Response<sco::DeleteSliceMemberResponse>, Status> {
        Err(Status::unimplemented("operators describe members"))
    }

    async fn apply_network_member(
        &self,
        _: Request<sco::ApplyNetworkMemberRequest>,
    ) -> Result<Response<sco::ApplyNetworkMemberResponse>, Status> {
        Err(Status::unimplemented("operators describe members"))
    }

    async fn delete_network_member(
        &self,
        _: Request<sco::DeleteNetworkMemberRequest>,
    ) -> Result<Response<sco::DeleteNetworkMemberResponse>, Status> {
        Err(Status::unimplemented("operators describe members"))
    }

    async fn list_links(
        &self,
        request: Request<sco::ListLinksRequest>,
    ) -> Result<Response<sco::ListLinksResponse>, Status> {
        let key = |cluster: &str| {
            Some(sco::GatewayKey { cluster: cluster.to_owned(), node: "n1".to_owned() })
        };
        let link = sco::Link {
            source: key("a"),
            target: key("b"),
            up: true,
            message: request.into_inner().slice,
            measurement: None,
            measurement_message: "the gateway is away".to_owned(),
        };
        Ok(Response::new(sco::ListLinksResponse { links: vec![link] }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<sco::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: Request<sco::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (objects, changes) = self.0.watch().await;
        let (sender, receiver) = mpsc::channel(100);
        tokio::spawn(tell(objects, changes, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Tells until nobody listens.
async fn tell(
    objects: Vec<Told>,
    mut changes: broadcast::Receiver<Told>,
    sender: mpsc::Sender<Result<sco::WatchResponse, Status>>,
) -> Option<()> {
    for object in &objects {
        sender.send(Ok(told(object))).await.ok()?;
    }
    let synced = sco::WatchResponse { kind: ChangeKind::Synced.into(), ..Default::default() };
    sender.send(Ok(synced)).await.ok()?;
    loop {
        let change = changes.recv().await.ok()?;
        sender.send(Ok(told(&change))).await.ok()?;
    }
}
