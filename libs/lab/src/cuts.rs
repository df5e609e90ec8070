//! Cutting and healing what a lab's hosts are connected by.

use crate::{
    error::LabError,
    lab::Lab,
    layout::{Node, UNDERLAY_BRIDGE, WAN_BRIDGE},
    underlay,
};

impl Lab {
    /// Cuts or heals a node's cable to its cluster's underlay.
    ///
    /// # Errors
    /// There is no such node.
    pub async fn set_underlay(&self, node: &str, up: bool) -> Result<(), LabError> {
        let node = self.node(node)?;
        let cluster = self.layout().cluster(&node.cluster)?;
        underlay::set_link(&cluster.underlay.namespace, node, up).await
    }

    /// Cuts or heals a gateway's cable to the WAN.
    ///
    /// # Errors
    /// There is no such node, or it is no gateway.
    pub async fn set_wan(&self, node: &str, up: bool) -> Result<(), LabError> {
        let node = self.node(node)?;
        gateway_address(node)?;
        underlay::set_link(&self.layout().wan.namespace, node, up).await
    }

    /// Cuts or heals a node's cable to the management network: its agents and both of its bridges
    /// lose their controllers, and the tunnels know nothing of it.
    ///
    /// # Errors
    /// There is no such node.
    pub async fn set_management(&self, node: &str, up: bool) -> Result<(), LabError> {
        underlay::set_link(&self.layout().control.namespace, self.node(node)?, up).await
    }

    /// Cuts or heals what two nodes say to each other, and nothing else: nodes of one cluster on
    /// their underlay, gateways of two on the WAN. The cut lasts until it is healed or the
    /// ovs-vswitchd of the first node ends.
    ///
    /// # Errors
    /// There is no such node, or it is no gateway.
    pub async fn set_pair(&self, one: &str, other: &str, up: bool) -> Result<(), LabError> {
        let (one, other) = (self.node(one)?, self.node(other)?);
        let (bridge, peer) = if one.cluster == other.cluster {
            (UNDERLAY_BRIDGE, other.underlay_address)
        } else {
            gateway_address(one)?;
            (WAN_BRIDGE, gateway_address(other)?)
        };
        for direction in ["nw_src", "nw_dst"] {
            let packets = format!("priority=100,ip,{direction}={peer}");
            if up {
                one.ofctl("del-flows", bridge, &["--strict", &packets]).await?;
            } else {
                one.ofctl("add-flow", bridge, &[&format!("{packets},actions=drop")]).await?;
            }
        }
        Ok(())
    }
}

pub(crate) fn gateway_address(node: &Node) -> Result<std::net::Ipv4Addr, LabError> {
    let gateway = node.gateway.as_ref().map(|gateway| gateway.wan_address);
    gateway.ok_or_else(|| LabError::Unknown { kind: "gateway", name: node.name.clone() })
}
