//! Networks of a lab, asked for and watched by gRPC, as an orchestrator does.

use std::{collections::HashSet, path::Path, time::Duration};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, LabOptions, Namespace, Topology, Unit};
use l2sces_proto::{
    resource::v1::{ChangeKind, ConditionStatus, Metadata},
    slice::v1::{
        AttachPortRequest, CreateNetworkRequest, InterfaceAttachment, Network, NetworkSpec, Port,
        PortSpec, WatchPortsRequest, WatchPortsResponse,
        network_service_client::NetworkServiceClient, port_spec::Attachment,
    },
};
use tonic::{Streaming, transport::Channel};

use crate::{
    cli::{Cli, create_cluster, words},
    narrator::Narrator,
};

/// How long ports may take to become ready.
const PATIENCE: Duration = Duration::from_secs(120);
const SLICE: &str = "s1";

/// Brings up a lab of one cluster, `a`, with a slice over all of it.
pub(super) async fn lab(topology: &Topology, binaries: &Path, narrator: &Narrator) -> Result<Lab> {
    let options = LabOptions {
        binaries: Some(binaries.to_owned()),
        log_filter: "warn".to_owned(),
        ..LabOptions::default()
    };
    let lab = Lab::up(topology, options).await?;
    let cli = Cli::new(&lab, narrator);
    for cluster in &lab.layout().clusters {
        cli.run_silently(&create_cluster(cluster)).await?;
    }
    cli.run_silently(&words(&format!("slice create {SLICE} --cluster a"))).await?;
    Ok(lab)
}

/// Puts the interfaces that will be attached on the bridge of every node, as a hypervisor adds its
/// taps: `p0`, `p1` and so on.
pub(super) async fn make_interfaces(lab: &Lab, count: u16) -> Result<()> {
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
    }
    Ok(())
}

/// A port of the slice, by its network and its name.
pub(super) type PortName = (String, String);

/// The networks of a lab. Those of a number are called `n0`, `n1` and so on, and their ports like
/// the nodes that they are on.
pub(super) struct Networks {
    client: NetworkServiceClient<Channel>,
}

impl Networks {
    pub(super) fn open(lab: &Lab) -> Result<Self> {
        Ok(Self { client: NetworkServiceClient::new(lab.channel(&Unit::SliceManager)?) })
    }

    /// Asks for a network with a port on each node, which takes the node's interface of the same
    /// number.
    pub(super) async fn create(&self, number: u16, nodes: &[&str]) -> Result<()> {
        let mut client = self.client.clone();
        let network = Network {
            metadata: named(&format!("n{number}")),
            slice: SLICE.to_owned(),
            spec: Some(NetworkSpec::default()),
            status: None,
        };
        let request = CreateNetworkRequest { network: Some(network), ..Default::default() };
        client.create_network(request).await?;
        let attach = nodes.iter().map(|node| self.attach(number, node, node, number));
        futures::future::try_join_all(attach).await?;
        Ok(())
    }

    /// Asks for a port, which takes the node's interface of a number.
    pub(super) async fn attach(
        &self,
        network: u16,
        name: &str,
        node: &str,
        interface: u16,
    ) -> Result<()> {
        let [high, low] = interface.to_be_bytes();
        let host: u8 = node.trim_start_matches('a').parse()?;
        let port = Port {
            metadata: named(name),
            slice: SLICE.to_owned(),
            network: format!("n{network}"),
            spec: Some(PortSpec {
                cluster: "a".to_owned(),
                node: node.to_owned(),
                attachment: Some(Attachment::Interface(InterfaceAttachment {
                    name: format!("p{interface}"),
                })),
                mac: format!("02:00:00:{host:02x}:{high:02x}:{low:02x}"),
                address: String::new(),
            }),
            status: None,
        };
        let request = AttachPortRequest { port: Some(port), ..Default::default() };
        self.client.clone().attach_port(request).await?;
        Ok(())
    }

    pub(super) async fn watch(&self) -> Result<Watch> {
        let request = WatchPortsRequest { slice: SLICE.to_owned(), ..Default::default() };
        let stream = self.client.clone().watch_ports(request).await?.into_inner();
        Ok(Watch { stream })
    }
}

pub(super) struct Watch {
    stream: Streaming<WatchPortsResponse>,
}

impl Watch {
    /// Waits until the ports, given as (network, name), have become ready.
    pub(super) async fn wait_for(&mut self, mut ports: HashSet<PortName>) -> Result<()> {
        let ready = async {
            while !ports.is_empty() {
                let change = self.stream.message().await?.context("the watch has ended")?;
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
            Ok(())
        };
        tokio::time::timeout(PATIENCE, ready).await.context("ports did not become ready")?
    }
}

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Default::default() })
}
