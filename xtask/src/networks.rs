//! Networks of a lab, asked for and watched by gRPC, as an orchestrator does.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, LabOptions, Pod, Topology, Unit, wait};
use l2sces_model::MacAddress;
use l2sces_proto::{
    resource::v1::{ChangeKind, ConditionStatus, Metadata},
    slice::v1::{
        AttachPortRequest, CreateNetworkRequest, DeleteNetworkRequest, GetNetworkRequest,
        InterfaceAttachment, NamespaceAttachment, Network, NetworkSpec, Port, PortSpec,
        WatchPortsRequest, WatchPortsResponse, network_service_client::NetworkServiceClient,
        port_spec::Attachment,
    },
};
use tonic::{Code, Streaming, transport::Channel};

use crate::{
    cli::{Cli, create_cluster, words},
    narrator::Narrator,
};

/// How long ports may take to become ready, and networks to be gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The only slice.
const SLICE: &str = "s1";
/// Name of a pod's interface.
pub(crate) const POD_INTERFACE: &str = "net1";

/// Brings up a lab with a slice over all of it.
pub(crate) async fn lab(
    topology: &Topology,
    binaries: &Path,
    narrator: &Narrator,
    options: LabOptions,
) -> Result<Lab> {
    let options = LabOptions { binaries: Some(binaries.to_owned()), ..options };
    let lab = Lab::up(topology, options).await?;
    let cli = Cli::new(&lab, narrator);
    let mut slice = format!("slice create {SLICE}");
    for cluster in &lab.layout().clusters {
        cli.run_silently(&create_cluster(cluster)).await?;
        slice += &format!(" --cluster {}", cluster.name);
    }
    cli.run_silently(&words(&slice)).await?;
    Ok(lab)
}

/// A port of the slice, by its network and its name.
pub(crate) type PortName = (String, String);

/// What a port is to be.
#[derive(Clone, Copy)]
pub(crate) enum Attached<'a> {
    /// An interface that exists on the node.
    Interface(&'a str),
    /// An interface in a pod.
    Namespace(&'a Pod),
}

/// What is at a port.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    pub(crate) mac: MacAddress,
    pub(crate) address: Option<Ipv4Addr>,
}

/// The networks of a lab.
pub(crate) struct Networks {
    client: NetworkServiceClient<Channel>,
    /// The cluster of each node.
    clusters: BTreeMap<String, String>,
}

impl Networks {
    pub(crate) fn open(lab: &Lab) -> Result<Self> {
        let nodes = lab.layout().nodes();
        Ok(Self {
            client: NetworkServiceClient::new(lab.channel(&Unit::SliceManager)?),
            clusters: nodes.map(|node| (node.name.clone(), node.cluster.clone())).collect(),
        })
    }

    /// Asks for a network over the whole slice; without a CIDR, of one that has no addresses.
    pub(crate) async fn create(&self, name: &str, cidr: &str) -> Result<()> {
        let network = Network {
            metadata: named(name),
            slice: SLICE.to_owned(),
            spec: Some(NetworkSpec { cidr: cidr.to_owned(), ..NetworkSpec::default() }),
            status: None,
        };
        let request = CreateNetworkRequest { network: Some(network), ..Default::default() };
        self.client.clone().create_network(request).await?;
        Ok(())
    }

    /// Deletes a network with its ports, and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        let (slice, name) = (SLICE.to_owned(), name.to_owned());
        let request = DeleteNetworkRequest {
            slice: slice.clone(),
            name: name.clone(),
            force: true,
            ..Default::default()
        };
        self.client.clone().delete_network(request).await?;
        wait::holds(&format!("network {name} is gone"), PATIENCE, || async {
            let request = GetNetworkRequest { slice: slice.clone(), name: name.clone() };
            match self.client.clone().get_network(request).await {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await?;
        Ok(())
    }

    /// Asks for a port on a node.
    pub(crate) async fn attach(
        &self,
        (network, name): &PortName,
        node: &str,
        attached: Attached<'_>,
        member: Member,
    ) -> Result<()> {
        let attachment = match attached {
            Attached::Interface(name) => {
                Attachment::Interface(InterfaceAttachment { name: name.to_owned() })
            }
            Attached::Namespace(pod) => Attachment::Namespace(NamespaceAttachment {
                path: pod.path(),
                interface_name: POD_INTERFACE.to_owned(),
            }),
        };
        let port = Port {
            metadata: named(name),
            slice: SLICE.to_owned(),
            network: network.clone(),
            spec: Some(PortSpec {
                cluster: self.clusters.get(node).cloned().unwrap_or_default(),
                node: node.to_owned(),
                attachment: Some(attachment),
                mac: member.mac.to_string(),
                address: member.address.map(|address| address.to_string()).unwrap_or_default(),
                max_learned_addresses: 0,
            }),
            status: None,
        };
        let request = AttachPortRequest { port: Some(port), ..Default::default() };
        self.client.clone().attach_port(request).await?;
        Ok(())
    }

    /// Watches ports become ready, as whoever asked for them does.
    pub(crate) async fn watch(&self) -> Result<ReadyPorts> {
        let request = WatchPortsRequest { slice: SLICE.to_owned(), ..Default::default() };
        Ok(ReadyPorts(self.client.clone().watch_ports(request).await?.into_inner()))
    }
}

/// Ports that are ready: their flows are confirmed, the other clusters know of them, and whoever
/// asked for them can read so.
pub(crate) struct ReadyPorts(Streaming<WatchPortsResponse>);

impl ReadyPorts {
    /// Waits until the ports have become ready; when the last was.
    pub(crate) async fn wait_for(
        &mut self,
        ports: impl IntoIterator<Item = PortName>,
    ) -> Result<Instant> {
        let mut ports: HashSet<PortName> = ports.into_iter().collect();
        let ready = async {
            while !ports.is_empty() {
                let change = self.0.message().await?.context("the watch has ended")?;
                if change.kind() != ChangeKind::Put {
                    continue;
                }
                let port = change.port.unwrap_or_default();
                let conditions = port.status.unwrap_or_default().conditions;
                let is_ready = conditions.iter().any(|condition| {
                    condition.r#type == "Ready" && condition.status() == ConditionStatus::True
                });
                if is_ready {
                    let name = port.metadata.unwrap_or_default().name;
                    ports.remove(&(port.network, name));
                }
            }
            Ok(Instant::now())
        };
        tokio::time::timeout(PATIENCE, ready).await.context("ports did not become ready")?
    }
}

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Default::default() })
}
