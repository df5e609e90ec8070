//! Many networks of one cluster, called `n0`, `n1` and so on.

use std::{collections::HashSet, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use l2sces_lab::{Lab, LabOptions, Namespace, Topology, Unit};
use l2sces_model::MacAddress;
use l2sces_proto::fabric::v1::{self as fabric, fabric_service_client::FabricServiceClient};
use tonic::{Streaming, transport::Channel};

use crate::{
    calls,
    narrator::Narrator,
    networks::{self, Attached, Member, Networks, PATIENCE, PortName},
};

/// The only cluster.
pub(super) const CLUSTER: &str = "a";

/// Brings up a lab with a slice over all of it.
pub(super) async fn lab(topology: &Topology, binaries: &Path, narrator: &Narrator) -> Result<Lab> {
    let options = LabOptions { log_filter: "warn".to_owned(), ..LabOptions::default() };
    networks::lab(topology, binaries, narrator, options).await
}

/// The same, where statements and calls are counted.
pub(super) async fn lab_that_counts(
    topology: &Topology,
    binaries: &Path,
    narrator: &Narrator,
) -> Result<Lab> {
    let options = LabOptions {
        log_filter: calls::LOG_FILTER.to_owned(),
        counts_statements: true,
        ..LabOptions::default()
    };
    networks::lab(topology, binaries, narrator, options).await
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

/// The name of the network of a number.
pub(super) fn network_name(number: u16) -> String {
    format!("n{number}")
}

/// The name of a port of the network of a number.
pub(super) fn port_name(network: u16, port: &str) -> PortName {
    (network_name(network), port.to_owned())
}

/// Asks for a network with a port on each node, called like the node, which takes the node's
/// interface of the same number.
pub(super) async fn create(networks: &Networks, number: u16, nodes: &[&str]) -> Result<()> {
    networks.create(&network_name(number), "").await?;
    let attach =
        nodes.iter().map(|node| attach_interface(networks, port_name(number, node), node, number));
    futures::future::try_join_all(attach).await?;
    Ok(())
}

/// Asks for a port that is the interface of a number on the node.
pub(super) async fn attach_interface(
    networks: &Networks,
    port: PortName,
    node: &str,
    number: u16,
) -> Result<()> {
    let [high, low] = number.to_be_bytes();
    let host: u8 = node.trim_start_matches(CLUSTER).parse()?;
    let member = Member { mac: MacAddress::new([2, 0, 0, host, high, low]), address: None };
    networks.attach(&port, node, Attached::Interface(&format!("p{number}")), member).await
}

/// Ports whose flows every switch of their network has confirmed.
pub(super) struct ConfirmedPorts(Streaming<fabric::WatchResponse>);

impl ConfirmedPorts {
    /// Watches the cluster's controller be told by the switches that they have the ports' flows.
    pub(super) async fn watch(lab: &Lab) -> Result<Self> {
        let controller = Unit::SdnController(CLUSTER.to_owned());
        let mut client: FabricServiceClient<Channel> =
            FabricServiceClient::new(lab.channel(&controller)?);
        Ok(Self(client.watch(fabric::WatchRequest {}).await?.into_inner()))
    }

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
