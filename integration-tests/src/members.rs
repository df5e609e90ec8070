use std::{net::Ipv4Addr, time::Duration};

use anyhow::Result;
use l2sces_lab::{Pod, probe::Ping, wait};
use l2sces_model::MacAddress;

use crate::{NetworkKey, World};

/// A pod in a network.
#[derive(Clone, Debug)]
pub struct Member {
    /// The pod; its port has the pod's name.
    pub pod: Pod,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its MAC address.
    pub mac: MacAddress,
}

/// Creates a network 10.1.0.0/24 with a pod on every node, and waits until all are ready. The
/// members of every network have the same addresses and MAC addresses.
pub async fn members_of(world: &mut World, network: &str) -> Result<Vec<Member>> {
    let nodes: Vec<_> = world.lab.layout().nodes().map(|node| node.name.clone()).collect();
    let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
    members_on(world, network, &[], &nodes).await
}

/// The same with a pod on each of these nodes, in a network that spans these clusters; none: all
/// of the slice.
pub async fn members_on(
    world: &mut World,
    network: impl Into<NetworkKey>,
    clusters: &[&str],
    nodes: &[&str],
) -> Result<Vec<Member>> {
    let key = network.into();
    world.create_network_of(&key, "10.1.0.0/24", clusters).await?;
    let mut members = Vec::new();
    for (number, node) in (11..).zip(nodes) {
        members.push(world.join(&key, node, &format!("{}-{node}", key.name), number).await?);
    }
    for member in &members {
        world.port_ready(&key, member.pod.name()).await?;
    }
    world.network_ready(&key).await?;
    Ok(members)
}

impl World {
    /// Makes a pod on a node and asks for its port, with the `number`th address and MAC address of
    /// the network. The pod has no IPv6, so that it sends nothing unasked. Does not wait.
    pub async fn join(
        &mut self,
        network: impl Into<NetworkKey>,
        node: &str,
        pod: &str,
        number: u8,
    ) -> Result<Member> {
        let pod = self.lab.pod(node, pod).await?;
        pod.namespace().set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        let address = Ipv4Addr::new(10, 1, 0, number);
        let mac = MacAddress::new([2, 0, 0, 0, 0, number]);
        self.attach(network, &pod, Some(address), &mac.to_string()).await?;
        Ok(Member { pod, address, mac })
    }

    /// Waits until nothing is under way among members, which then send nothing unless they are told to:
    /// their ports have told where they are, and their kernels know for good where the others are.
    pub async fn quiet(&self, members: &[Member]) -> Result<()> {
        self.ports_introduced().await?;
        for member in members {
            member.knows(members).await?;
        }
        for (number, member) in members.iter().enumerate() {
            for other in &members[number + 1..] {
                member.all_has_come(other, self.limit).await?;
            }
        }
        Ok(())
    }
}

impl Member {
    /// Pings another member until it has answered three requests; each must be answered once, and
    /// none be lost. Later ones may be under way yet.
    pub async fn reaches(&self, other: &Self) -> Result<()> {
        let ping = Ping::new(other.address, 3);
        let report = ping.run_until_answered(self.pod.namespace()).await?;
        anyhow::ensure!(
            report.has_answers(ping.count),
            "{} to {} ({}): {report:?}",
            self.pod.name(),
            other.pod.name(),
            other.address
        );
        Ok(())
    }

    /// Tells the kernel where others are, so that it never asks.
    async fn knows(&self, members: &[Self]) -> Result<()> {
        let others = members.iter().filter(|other| other.address != self.address);
        let lines = others.map(|Self { address, mac, .. }| {
            format!("neigh replace {address} lladdr {mac} dev net1 nud permanent\n")
        });
        self.pod.namespace().ip_batch(&lines.collect::<String>()).await?;
        Ok(())
    }

    /// Waits until all that two members have sent each other has come: each request of a ping is answered,
    /// the last of them after all that was sent before.
    async fn all_has_come(&self, other: &Self, limit: Duration) -> Result<()> {
        let (one, another) = (self.pod.name(), other.pod.name());
        wait::holds(&format!("nothing is under way from {one} to {another}"), limit, || async {
            let report = Ping::new(other.address, 3).run(self.pod.namespace()).await;
            let report = report.map_err(|error| error.to_string())?;
            if report.is_perfect() { Ok(()) } else { Err(format!("{report:?}")) }
        })
        .await?;
        Ok(())
    }
}
