//! Networks and their ports.

use std::net::Ipv4Addr;

use anyhow::Result;
use l2sces_lab::{Lab, Pod, Unit, wait};
use l2sces_proto::slice::v1::{
    AttachPortRequest, CreateNetworkRequest, DeleteNetworkRequest, DetachPortRequest,
    GetNetworkRequest, GetPortRequest, NamespaceAttachment, Network, NetworkSpec, Port, PortSpec,
    port_spec::Attachment,
};
use tonic::{Code, Status};

use crate::{
    World,
    world::{gone, named, psql},
};

/// Names a network: by its name alone in slice `s1`, else as (slice, name).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkKey {
    /// The slice.
    pub slice: String,
    /// The network.
    pub name: String,
}

impl From<&str> for NetworkKey {
    fn from(name: &str) -> Self {
        ("s1", name).into()
    }
}

impl From<&String> for NetworkKey {
    fn from(name: &String) -> Self {
        name.as_str().into()
    }
}

impl From<(&str, &str)> for NetworkKey {
    fn from((slice, name): (&str, &str)) -> Self {
        Self { slice: slice.to_owned(), name: name.to_owned() }
    }
}

impl From<&Self> for NetworkKey {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

impl std::fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.slice, self.name)
    }
}

impl World {
    /// Creates a network that spans its whole slice. Does not wait.
    pub async fn create_network(
        &mut self,
        network: impl Into<NetworkKey>,
        cidr: &str,
    ) -> Result<(), Status> {
        self.create_network_of(network, cidr, &[]).await
    }

    /// Creates a network that spans some clusters of its slice. Does not wait.
    pub async fn create_network_of(
        &mut self,
        network: impl Into<NetworkKey>,
        cidr: &str,
        clusters: &[&str],
    ) -> Result<(), Status> {
        let key = network.into();
        let network = Network {
            metadata: named(&key.name),
            slice: key.slice,
            spec: Some(NetworkSpec {
                cidr: cidr.to_owned(),
                clusters: clusters.iter().map(|&cluster| cluster.to_owned()).collect(),
                ..Default::default()
            }),
            status: None,
        };
        let request = CreateNetworkRequest { network: Some(network), ..Default::default() };
        self.networks.create_network(request).await.map(drop)
    }

    /// Reads a network.
    pub async fn network(&self, network: impl Into<NetworkKey>) -> Result<Network, Status> {
        let NetworkKey { slice, name } = network.into();
        let response = self.networks.clone().get_network(GetNetworkRequest { slice, name }).await?;
        Ok(response.into_inner().network.unwrap_or_default())
    }

    /// Waits until a network is ready, and returns it.
    pub async fn network_ready(&self, network: impl Into<NetworkKey>) -> Result<Network> {
        let key = network.into();
        self.ready(&format!("network {key}"), || async {
            let network = self.network(&key).await?;
            Ok((network.metadata, network.status.unwrap_or_default().conditions))
        })
        .await?;
        Ok(self.network(&key).await?)
    }

    /// Asks for the deletion of a network with its ports. Does not wait.
    pub async fn ask_to_delete_network(
        &mut self,
        network: impl Into<NetworkKey>,
    ) -> Result<(), Status> {
        let NetworkKey { slice, name } = network.into();
        let request = DeleteNetworkRequest { slice, name, force: true, ..Default::default() };
        self.networks.delete_network(request).await.map(drop)
    }

    /// Deletes a network with its ports, and waits until it is gone.
    pub async fn delete_network(&mut self, network: impl Into<NetworkKey>) -> Result<()> {
        let key = network.into();
        self.ask_to_delete_network(&key).await?;
        self.network_gone(&key).await
    }

    /// Waits until a network is gone.
    pub async fn network_gone(&self, network: impl Into<NetworkKey>) -> Result<()> {
        let key = network.into();
        wait::holds(&format!("network {key} is gone"), self.limit, || async {
            gone(self.network(&key).await)
        })
        .await?;
        Ok(())
    }

    /// Asks for a port named as its pod. Does not wait.
    pub async fn attach(
        &mut self,
        network: impl Into<NetworkKey>,
        pod: &Pod,
        address: Option<Ipv4Addr>,
        mac: &str,
    ) -> Result<(), Status> {
        let port = port_of(&self.lab, network, pod, address, mac);
        let request = AttachPortRequest { port: Some(port), ..Default::default() };
        self.networks.attach_port(request).await.map(drop)
    }

    /// Reads a port.
    pub async fn port(&self, network: impl Into<NetworkKey>, name: &str) -> Result<Port, Status> {
        let key = network.into();
        let request = GetPortRequest { slice: key.slice, network: key.name, name: name.to_owned() };
        let response = self.networks.clone().get_port(request).await?;
        Ok(response.into_inner().port.unwrap_or_default())
    }

    /// Waits until a port is ready, and returns it.
    pub async fn port_ready(&self, network: impl Into<NetworkKey>, name: &str) -> Result<Port> {
        let key = network.into();
        self.ready(&format!("port {key}/{name}"), || async {
            let port = self.port(&key, name).await?;
            Ok((port.metadata, port.status.unwrap_or_default().conditions))
        })
        .await?;
        Ok(self.port(&key, name).await?)
    }

    /// Waits until every port has told its network where its address is, which each does once, at some
    /// time after it is ready.
    pub async fn ports_introduced(&self) -> Result<()> {
        let roles = self.lab.layout().postgres.roles.iter();
        for role in roles.filter(|role| matches!(role.unit, Unit::SdnController(_))) {
            let silent = "SELECT count(*) FROM port WHERE NOT introduced";
            wait::holds("every port has told where its address is", self.limit, || async {
                match psql(&role.url, silent).await {
                    Ok(silent) if silent == "0" => Ok(()),
                    silent => Err(format!("{silent:?} of {} have not", role.name)),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Asks for the removal of a port. Does not wait.
    pub async fn detach(
        &mut self,
        network: impl Into<NetworkKey>,
        name: &str,
    ) -> Result<(), Status> {
        let NetworkKey { slice, name: network } = network.into();
        let name = name.to_owned();
        let request = DetachPortRequest { slice, network, name, ..Default::default() };
        self.networks.detach_port(request).await.map(drop)
    }

    /// Waits until a port is gone.
    pub async fn port_gone(&self, network: impl Into<NetworkKey>, name: &str) -> Result<()> {
        let key = network.into();
        let what = format!("port {key}/{name} is gone");
        Ok(wait::holds(&what, self.limit, || async {
            match self.port(&key, name).await {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                Err(status) => Err(status.to_string()),
                Ok(port) => Err(format!("{:?}", port.status)),
            }
        })
        .await?)
    }
}

/// A port named as its pod.
pub fn port_of(
    lab: &Lab,
    network: impl Into<NetworkKey>,
    pod: &Pod,
    address: Option<Ipv4Addr>,
    mac: &str,
) -> Port {
    let key = network.into();
    let cluster = lab.node(pod.node()).map(|node| node.cluster.clone()).unwrap_or_default();
    Port {
        metadata: named(pod.name()),
        slice: key.slice,
        network: key.name,
        spec: Some(PortSpec {
            cluster,
            node: pod.node().to_owned(),
            attachment: Some(Attachment::Namespace(NamespaceAttachment {
                path: pod.path(),
                interface_name: "net1".to_owned(),
            })),
            mac: mac.to_owned(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            max_learned_addresses: 0,
        }),
        status: None,
    }
}
