//! The installation that the experiments run on.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, LabOptions, Namespace, Pod, probe::Ping, wait};
use l2sces_model::MacAddress;

use crate::{
    narrator::Narrator,
    networks::{self, Attached, Member, Networks, POD_INTERFACE, PortName},
};

/// As the paper's: two managed clusters of three nodes, one of which is the gateway.
const TOPOLOGY: &str = "a=a1*,a2,a3 b=b1*,b2,b3";
/// MTU of interfaces that the experiments make themselves, in bytes: that of the paper's.
const MTU: &str = "1400";
/// How long two pods may take to answer each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// The node that a pod is on, its name and its address.
pub(super) type PodPlace<'a> = (&'a str, &'a str, Ipv4Addr);

/// A lab with a slice over two clusters.
pub(super) struct Testbed {
    pub(super) lab: Lab,
    pub(super) networks: Networks,
}

/// A pod with an interface.
pub(super) struct Host {
    pub(super) pod: Pod,
    pub(super) address: Ipv4Addr,
    pub(super) mac: MacAddress,
}

impl Testbed {
    pub(super) async fn up(binaries: &Path, narrator: &Narrator) -> Result<Self> {
        Self::that_logs("warn", binaries, narrator).await
    }

    /// The same, with a log filter of its own.
    pub(super) async fn that_logs(
        log_filter: &str,
        binaries: &Path,
        narrator: &Narrator,
    ) -> Result<Self> {
        let options = LabOptions { log_filter: log_filter.to_owned(), ..LabOptions::default() };
        let lab = networks::lab(&TOPOLOGY.parse()?, binaries, narrator, options).await?;
        Ok(Self { networks: Networks::open(&lab)?, lab })
    }

    /// Creates a network with pods, and waits until they can be used.
    async fn network(&self, name: &str, cidr: &str, pods: &[PodPlace<'_>]) -> Result<Vec<Host>> {
        let mut ready = self.networks.watch().await?;
        self.networks.create(name, cidr).await?;
        let mut hosts = Vec::new();
        let mut ports = Vec::new();
        for (node, pod, address) in pods {
            let host = self.pod(node, pod, *address).await?;
            let port: PortName = (name.to_owned(), (*pod).to_owned());
            self.networks
                .attach(&port, node, Attached::Namespace(&host.pod), host.member())
                .await?;
            ports.push(port);
            hosts.push(host);
        }
        ready.wait_for(ports).await?;
        Ok(hosts)
    }

    /// Creates the networks blue and red with the same addresses, and waits until the first pod of
    /// each reaches its others. Nobody remembers the neighbours that were found by that.
    pub(super) async fn blue_and_red(
        &self,
        cidr: &str,
        blue: &[PodPlace<'_>],
        red: &[PodPlace<'_>],
    ) -> Result<[Vec<Host>; 2]> {
        let networks =
            [self.network("blue", cidr, blue).await?, self.network("red", cidr, red).await?];
        for hosts in &networks {
            for host in &hosts[1..] {
                hosts[0].reaches(host).await?;
            }
            for host in hosts {
                // As the paper does; or a kernel asks whether the other is still there.
                host.pod.namespace().ip_batch("neighbour flush all\n").await?;
            }
        }
        Ok(networks)
    }

    /// A pod that sends nothing unasked, without an interface yet.
    async fn pod(&self, node: &str, name: &str, address: Ipv4Addr) -> Result<Host> {
        let pod = self.lab.pod(node, name).await?;
        pod.namespace().set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        let [.., third, last] = address.octets();
        Ok(Host { pod, address, mac: MacAddress::new([2, 0, 0, 0, third, last]) })
    }

    /// A pod with an interface whose far end is on the node's switch already, as the interfaces of
    /// the paper's pods are, but in no network. Returns the far end, too.
    pub(super) async fn standing_pod(
        &self,
        node: &str,
        name: &str,
        address: Ipv4Addr,
    ) -> Result<(Host, String)> {
        let host = self.pod(node, name, address).await?;
        let node = self.lab.node(node)?;
        let (pod, far_end) = (host.pod.namespace(), format!("veth-{name}"));
        let outside = Namespace::named(&node.namespace);
        // Its kernel would ask for routers.
        outside.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        outside
            .ip_batch(&format!(
                "link add {far_end} type veth peer name {POD_INTERFACE} netns {}\n\
                 link set {far_end} mtu {MTU} up\n",
                pod.name()
            ))
            .await?;
        pod.ip_batch(&format!(
            "link set {POD_INTERFACE} address {} mtu {MTU} up\n\
             address add {address}/24 dev {POD_INTERFACE}\n",
            host.mac
        ))
        .await?;
        // The userspace datapath computes no checksums for others.
        pod.run(["ethtool", "-K", POD_INTERFACE, "tx", "off"]).await?;
        node.vsctl(["add-port", "br-sps", &far_end]).await?;
        Ok((host, far_end))
    }
}

impl Host {
    pub(super) fn member(&self) -> Member {
        Member { mac: self.mac, address: Some(self.address) }
    }

    /// Waits until another pod answers several pings in a row.
    pub(super) async fn reaches(&self, other: &Self) -> Result<()> {
        let what = format!("{} answers {}", other.pod.name(), self.pod.name());
        wait::holds(&what, PATIENCE, || async {
            let report = Ping::new(other.address, 5).run(self.pod.namespace()).await;
            match report.map_err(|error| error.to_string())? {
                report if report.is_perfect() => Ok(()),
                report => Err(format!("{report:?}")),
            }
        })
        .await
        .with_context(|| "the network does not settle".to_owned())
    }
}
