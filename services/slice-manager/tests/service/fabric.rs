//! An sdn-controller that only remembers.

use std::pin::Pin;

use l2sces_proto::{
    fabric::v1::{
        self as fabric,
        fabric_service_server::{FabricService, FabricServiceServer},
    },
    measurement::v1::LinkMeasurement,
    resource::v1::ChangeKind,
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, service::Routes};

use crate::fake::{Fake, Object, Told};

pub(crate) struct FakeFabric(Fake);

pub(crate) fn routes(fake: Fake) -> Routes {
    Routes::new(FabricServiceServer::new(FakeFabric(fake)))
}

fn version(version: Option<fabric::Version>) -> (String, i64) {
    let version = version.unwrap();
    (version.uid, version.generation)
}

fn key(text: &str) -> fabric::ObjectKey {
    use fabric::object_key::Key;
    let parts: Vec<&str> = text.split('/').collect();
    let own = |text: &str| text.to_owned();
    let key = match parts.as_slice() {
        ["node", node] => Key::Node(own(node)),
        ["slice", slice] => Key::Slice(own(slice)),
        ["network", slice, name] => {
            Key::Network(fabric::NetworkKey { slice: own(slice), name: own(name) })
        }
        ["port", slice, network, name] => {
            Key::Port(fabric::PortKey { slice: own(slice), network: own(network), name: own(name) })
        }
        _ => panic!("{text}"),
    };
    fabric::ObjectKey { key: Some(key) }
}

fn state(text: &str, object: &Object) -> fabric::ObjectState {
    let given = text.starts_with("port/").then(|| fabric::PortAssignment {
        mac: format!("02:00:00:00:00:{:02x}", object.number),
        address: format!("10.1.0.{}/24", object.number),
        interface_name: format!("l2p-{}", object.number),
        learned_macs: object.addresses.learned.clone(),
        conflicts: object.addresses.conflicts.iter().map(|text| conflict(text)).collect(),
        mtu: 1438,
    });
    fabric::ObjectState {
        key: Some(key(text)),
        version: Some(fabric::Version { uid: object.uid.clone(), generation: object.generation }),
        ready: object.ready,
        reason: if object.ready { String::new() } else { "NotThere".to_owned() },
        message: object.message.clone(),
        port: given,
    }
}

fn conflict(message: &str) -> fabric::AddressConflict {
    fabric::AddressConflict { mac: "02:00:00:00:00:07".to_owned(), message: message.to_owned() }
}

fn told((text, object): &Told) -> fabric::WatchResponse {
    match object {
        Some(object) => fabric::WatchResponse {
            kind: ChangeKind::Put.into(),
            state: Some(state(text, object)),
            ..Default::default()
        },
        None => fabric::WatchResponse {
            kind: ChangeKind::Deleted.into(),
            state: Some(fabric::ObjectState { key: Some(key(text)), ..Default::default() }),
            ..Default::default()
        },
    }
}

#[tonic::async_trait]
impl FabricService for FakeFabric {
    async fn apply_node(
        &self,
        request: Request<fabric::ApplyNodeRequest>,
    ) -> Result<Response<fabric::ApplyNodeResponse>, Status> {
        let node = request.into_inner().node.unwrap();
        let text = format!("node/{}", node.name);
        let body = format!("{node:?}");
        let object = self.0.apply(text.clone(), version(node.version), body).await?;
        Ok(Response::new(fabric::ApplyNodeResponse { state: Some(state(&text, &object)) }))
    }

    async fn delete_node(
        &self,
        request: Request<fabric::DeleteNodeRequest>,
    ) -> Result<Response<fabric::DeleteNodeResponse>, Status> {
        let fabric::DeleteNodeRequest { name, force } = request.into_inner();
        let gone = self.0.delete(format!("node/{name}"), force).await?;
        Ok(Response::new(fabric::DeleteNodeResponse { gone }))
    }

    async fn apply_slice(
        &self,
        request: Request<fabric::ApplySliceRequest>,
    ) -> Result<Response<fabric::ApplySliceResponse>, Status> {
        let slice = request.into_inner().slice.unwrap();
        for node in &slice.nodes {
            if self.0.object(&format!("node/{node}")).is_none() {
                return Err(Status::failed_precondition(format!("no node {node}")));
            }
        }
        let text = format!("slice/{}", slice.name);
        let body = format!("{slice:?}");
        let object = self.0.apply(text.clone(), version(slice.version), body).await?;
        Ok(Response::new(fabric::ApplySliceResponse { state: Some(state(&text, &object)) }))
    }

    async fn delete_slice(
        &self,
        request: Request<fabric::DeleteSliceRequest>,
    ) -> Result<Response<fabric::DeleteSliceResponse>, Status> {
        let name = request.into_inner().name;
        let networks = format!("network/{name}/");
        if self.0.keys().iter().any(|key| key.starts_with(&networks)) {
            return Err(Status::failed_precondition("it has networks"));
        }
        let gone = self.0.delete(format!("slice/{name}"), false).await?;
        Ok(Response::new(fabric::DeleteSliceResponse { gone }))
    }

    async fn apply_network(
        &self,
        request: Request<fabric::ApplyNetworkRequest>,
    ) -> Result<Response<fabric::ApplyNetworkResponse>, Status> {
        let network = request.into_inner().network.unwrap();
        if self.0.object(&format!("slice/{}", network.slice)).is_none() {
            return Err(Status::failed_precondition("no slice"));
        }
        let text = format!("network/{}/{}", network.slice, network.name);
        let body = format!("{network:?}");
        let object = self.0.apply(text.clone(), version(network.version), body).await?;
        Ok(Response::new(fabric::ApplyNetworkResponse { state: Some(state(&text, &object)) }))
    }

    async fn delete_network(
        &self,
        request: Request<fabric::DeleteNetworkRequest>,
    ) -> Result<Response<fabric::DeleteNetworkResponse>, Status> {
        let key = request.into_inner().key.unwrap();
        let ports = format!("port/{}/{}/", key.slice, key.name);
        if self.0.keys().iter().any(|key| key.starts_with(&ports)) {
            return Err(Status::failed_precondition("it has ports"));
        }
        let gone = self.0.delete(format!("network/{}/{}", key.slice, key.name), false).await?;
        Ok(Response::new(fabric::DeleteNetworkResponse { gone }))
    }

    async fn apply_port(
        &self,
        request: Request<fabric::ApplyPortRequest>,
    ) -> Result<Response<fabric::ApplyPortResponse>, Status> {
        let port = request.into_inner().port.unwrap();
        if self.0.object(&format!("network/{}/{}", port.slice, port.network)).is_none() {
            return Err(Status::failed_precondition("no network"));
        }
        let text = format!("port/{}/{}/{}", port.slice, port.network, port.name);
        let body = format!("{port:?}");
        let object = self.0.apply(text.clone(), version(port.version), body).await?;
        Ok(Response::new(fabric::ApplyPortResponse { state: Some(state(&text, &object)) }))
    }

    async fn delete_port(
        &self,
        request: Request<fabric::DeletePortRequest>,
    ) -> Result<Response<fabric::DeletePortResponse>, Status> {
        let key = request.into_inner().key.unwrap();
        let gone = self
            .0
            .delete(format!("port/{}/{}/{}", key.slice, key.network, key.name), false)
            .await?;
        Ok(Response::new(fabric::DeletePortResponse { gone }))
    }

    async fn list_ports(
        &self,
        _: Request<fabric::ListPortsRequest>,
    ) -> Result<Response<fabric::ListPortsResponse>, Status> {
        Err(Status::unimplemented("the slice-manager watches"))
    }

    async fn list_links(
        &self,
        request: Request<fabric::ListLinksRequest>,
    ) -> Result<Response<fabric::ListLinksResponse>, Status> {
        // Of every slice the same, and it says which by the message.
        let link = |source: &str, target: &str, loss| fabric::Link {
            source_node: source.to_owned(),
            target_node: target.to_owned(),
            up: false,
            message: request.get_ref().slice.clone(),
            measurement: Some(LinkMeasurement { loss: Some(loss), ..Default::default() }),
            measurement_message: format!("{source} is away"),
        };
        let links = vec![link("n1", "n2", 0.5), link("n2", "n1", 0.25)];
        Ok(Response::new(fabric::ListLinksResponse { links }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<fabric::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: Request<fabric::WatchRequest>,
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
    sender: mpsc::Sender<Result<fabric::WatchResponse, Status>>,
) -> Option<()> {
    for object in &objects {
        sender.send(Ok(told(object))).await.ok()?;
    }
    let synced = fabric::WatchResponse { kind: ChangeKind::Synced.into(), ..Default::default() };
    sender.send(Ok(synced)).await.ok()?;
    loop {
        let change = changes.recv().await.ok()?;
        sender.send(Ok(told(&change))).await.ok()?;
    }
}
