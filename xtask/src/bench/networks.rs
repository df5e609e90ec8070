//! Networks of a lab, asked for and watched by gRPC, as an orchestrator does.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use l2sces_lab::{Lab, LabOptions, Namespace, Pod, Topology, Unit};
use l2sces_model::MacAddress;
use l2sces_proto::{
    fabric::v1::{self as fabric, fabric_service_client::FabricServiceClient},
    resource::v1::{ChangeKind, ConditionStatus, Metadata},
    slice::v1::{
        AttachPortRequest, CreateNetworkRequest, InterfaceAttachment, NamespaceAttachment, Network,
        NetworkSpec, Port, PortSpec, WatchPortsRequest, WatchPortsResponse,
        network_service_client::NetworkServiceClient, port_spec::Attachment,
    },
};
use tonic::{Streaming, transport::Channel};

use super::usage;
use crate::{
    cli::{Cli, create_cluster, words},
    narrator::Narrator,
};

/// How long ports may take to become ready.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const SLICE: &str = "s1";
/// The only cluster.
pub(super) const CLUSTER: &str = "a";
/// Name of a pod's interface.
pub(super) const POD_INTERFACE: &str = "net1";

/// Brings up a lab of one cluster with a slice over all of it.
pub(super) async fn lab(topology: &Topology, binaries: &Path, narrator: &Narrator) -> Result<Lab> {
    let options = LabOptions { log_filter: "warn".to_owned(), ..LabOptions::default() };
    up(topology, binaries, narrator, options).await
}

/// The same, where statements and calls are counted.
pub(super) async fn lab_that_counts(
    topology: &Topology,
    binaries: &Path,
    narrator: &Narrator,
) -> Result<Lab> {
    let options = LabOptions {
        log_filter: usage::LOG_FILTER.to_owned(),
        counts_statements: true,
        ..LabOptions::default()
    };
    up(topology, binaries, narrator, options).await
}

async fn up(
    topology: &Topology,
    binaries: &Path,
    narrator: &Narrator,
    options: LabOptions,
) -> Result<Lab> {
    let options = LabOptions { binaries: Some(binaries.to_owned()), ..options };
    let lab = Lab::up(topology, options).await?;
    let cli = Cli::new(&lab, narrator);
    for cluster in &lab.layout().clusters {
        cli.run_silently(&create_cluster(cluster)).await?;
    }
    cli.run_silently(&words(&format!("slice create {SLICE} --cluster {CLUSTER}"))).await?;
    Ok(lab)
}

/// Puts the interfaces that will be attached on the bridge of every node, and sets them up, as a
/// hypervisor adds its taps: `p0`, `p1` and so on.
pub(super) async fn make_interfaces(lab: &Lab, count: u16) -> Result<()> {
    ensure!(count > 0, "no interfaces");
    for node in lab.layout().nodes() {
        // Router solicitations of a thousand interfaces would be measured too.
        let namespace = Namespace::named(&node.namespace);
        namespace.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        let names: Vec<_> = (0..count).map(|n| format!("p{n}")).collect();
        for names in names.chunks(500) {
            let mut arguments = Vec::new();
            for name in names {
                arguments.extend(["--", "add-port", "br-sps", name]);
                arguments.extend(["--", "set", "Interface", name, "type=internal"]);
            }
            node.vsctl(arguments).await?;
        }
        let commands = format!("seq 0 {} | sed 's/.*/link set p& up/' | ip -batch -", count - 1);
        namespace.run(["sh", "-c", &commands]).await?;
    }
    Ok(())
}

/// A port of the slice, by its network and its name.
pub(super) type PortName = (String, String);

/// The name of a port of the network of a number.
pub(super) fn port_name(network: u16, port: &str) -> PortName {
    (format!("n{network}"), port.to_owned())
}

/// What a port is to be.
#[derive(Clone, Copy)]
pub(super) enum Attached<'a> {
    /// The interface of a number on the node.
    Interface(u16),
    /// An interface in a pod.
    Namespace(&'a Pod, Member),
}

/// What a pod's interface is given.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) mac: MacAddress,
    pub(super) address: Option<Ipv4Addr>,
}

/// The networks of a lab. Those of a number are called `n0`, `n1` and so on, and their ports like
/// the nodes that they are on.
pub(super) struct Networks {
    client: NetworkServiceClient<Channel>,
    fabric: FabricServiceClient<Channel>,
}

impl Networks {
    pub(super) fn open(lab: &Lab) -> Result<Self> {
        let controller = Unit::SdnController(CLUSTER.to_owned());
        Ok(Self {
            client: NetworkServiceClient::new(lab.channel(&Unit::SliceManager)?),
            fabric: FabricServiceClient::new(lab.channel(&controller)?),
        })
    }

    /// Asks for a network; without a CIDR, of one that has no addresses.
    pub(super) async fn create_network(&self, number: u16, cidr: &str) -> Result<()> {
        let network = Network {
            metadata: named(&format!("n{number}")),
            slice: SLICE.to_owned(),
            spec: Some(NetworkSpec { cidr: cidr.to_owned(), ..NetworkSpec::default() }),
            status: None,
        };
        let request = CreateNetworkRequest { network: Some(network), ..Default::default() };
        self.client.clone().create_network(request).await?;
        Ok(())
    }

    /// Asks for a network with a port on each node, which takes the node's interface of the same
    /// number.
    pub(super) async fn create(&self, number: u16, nodes: &[&str]) -> Result<()> {
        self.create_network(number, "").await?;
        let attach =
            nodes.iter().map(|node| self.attach(number, node, node, Attached::Interface(number)));
        futures::future::try_join_all(attach).await?;
        Ok(())
    }

    /// Asks for a port.
    pub(super) async fn attach(
        &self,
        network: u16,
        name: &str,
        node: &str,
        attached: Attached<'_>,
    ) -> Result<()> {
        let (attachment, member) = match attached {
            Attached::Interface(number) => {
                let [high, low] = number.to_be_bytes();
                let host: u8 = node.trim_start_matches(CLUSTER).parse()?;
                let interface = InterfaceAttachment { name: format!("p{number}") };
                let mac = MacAddress::new([2, 0, 0, host, high, low]);
                (Attachment::Interface(interface), Member { mac, address: None })
            }
            Attached::Namespace(pod, member) => {
                let namespace = NamespaceAttachment {
                    path: pod.path(),
                    interface_name: POD_INTERFACE.to_owned(),
                };
                (Attachment::Namespace(namespace), member)
            }
        };
        let port = Port {
            metadata: named(name),
            slice: SLICE.to_owned(),
            network: format!("n{network}"),
            spec: Some(PortSpec {
                cluster: CLUSTER.to_owned(),
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
    pub(super) async fn watch(&self) -> Result<ReadyPorts> {
        let request = WatchPortsRequest { slice: SLICE.to_owned(), ..Default::default() };
        Ok(ReadyPorts(self.client.clone().watch_ports(request).await?.into_inner()))
    }

    /// Watches the cluster's controller be told by the switches that they have the ports' flows.
    pub(super) async fn watch_flows(&self) -> Result<ConfirmedPorts> {
        let stream = self.fabric.clone().watch(fabric::WatchRequest {}).await?.into_inner();
        Ok(ConfirmedPorts(stream))
    }
}

/// Ports that are ready: their flows are confirmed, the other clusters know of them, and whoever
/// asked for them can read so.
pub(super) struct ReadyPorts(Streaming<WatchPortsResponse>);

impl ReadyPorts {
    /// Waits until the ports have become ready; when the last was.
    pub(super) async fn wait_for(
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

/// Ports whose flows every switch of their network has confirmed.
pub(super) struct ConfirmedPorts(Streaming<fabric::WatchResponse>);

impl ConfirmedPorts {
    /// Waits until the flows of the ports are confirmed; when the last were.
    pub(super) async fn wait_for(
        &mut self,
        ports: impl IntoIterator<Item = PortName>,
    ) -> Result<Instant> {
        let mut ports: HashSet<PortName> = ports.into_iter().collect();
        let confirmed = async {
            while !ports.is_empty() {
                let change = self.0.message().await?.context("the watch has ended")?;
                let state = change.state.unwrap_or_default();
                // Only the announcement to other clusters is left to be made.
                if state.ready || state.reason == "NotAnnounced" {
                    let key = state.key.and_then(|key| key.key);
                    if let Some(fabric::object_key::Key::Port(port)) = key {
                        ports.remove(&(port.network, port.name));
                    }
                }
            }
            Ok(Instant::now())
        };
        tokio::time::timeout(PATIENCE, confirmed).await.context("flows were not confirmed")?
    }
}

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Default::default() })
}
