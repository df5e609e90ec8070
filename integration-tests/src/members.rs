use std::net::Ipv4Addr;

use anyhow::Result;
use l2sces_lab::{Pod, probe::Ping};
use l2sces_model::MacAddress;

use crate::World;

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
/// members of every network have the same addresses and MAC addresses. The pods have no IPv6, so
/// that they send nothing unasked.
pub async fn members_of(world: &mut World, network: &str) -> Result<Vec<Member>> {
    world.create_network(network, "10.1.0.0/24").await?;
    let nodes: Vec<_> = world.lab.layout().nodes().map(|node| node.name.clone()).collect();
    let mut members = Vec::new();
    for (number, node) in (11..).zip(&nodes) {
        let pod = world.lab.pod(node, &format!("{network}-{node}")).await?;
        pod.namespace().set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        let address = Ipv4Addr::new(10, 1, 0, number);
        let mac = MacAddress::new([2, 0, 0, 0, 0, number]);
        world.attach(network, &pod, Some(address), &mac.to_string()).await?;
        members.push(Member { pod, address, mac });
    }
    for member in &members {
        world.port_ready(network, member.pod.name()).await?;
    }
    world.network_ready(network).await?;
    Ok(members)
}

impl Member {
    /// Pings another member; every request must be answered once.
    pub async fn reaches(&self, other: &Self) -> Result<()> {
        let report = Ping::new(other.address, 3).run(self.pod.namespace()).await?;
        anyhow::ensure!(
            report.is_perfect(),
            "{} to {} ({}): {report:?}",
            self.pod.name(),
            other.pod.name(),
            other.address
        );
        Ok(())
    }
}
