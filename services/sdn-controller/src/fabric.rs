//! The engine, as the controller uses it: what it is told of slices, networks and ports.

use std::collections::BTreeSet;

use async_trait::async_trait;
use l2sces_controller::{
    EndpointSpec, Engine, LinkState, NetworkSpec, PortId, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_model::{DatapathId, Epoch, InterfaceName, MacAddress, Name, Vni};

use crate::domain::{NetworkKey, PortKey};

/// What compiles wishes to flows and installs them. A call returns when the connected switches that
/// it concerns have confirmed the change.
#[async_trait]
pub(crate) trait Fabric: Send + Sync {
    async fn put_switch(&self, spec: SwitchSpec);
    async fn remove_switch(&self, id: DatapathId);
    async fn put_slice(&self, spec: SliceSpec);
    async fn remove_slice(&self, name: Name);
    async fn put_network(&self, spec: NetworkSpec);
    async fn remove_network(&self, vni: Vni);
    async fn put_port(&self, spec: PortSpec);
    async fn remove_port(&self, id: PortId);
    async fn put_endpoint(&self, spec: EndpointSpec);
    async fn remove_endpoint(&self, vni: Vni, mac: MacAddress);
    /// Says which addresses were learned at a port before a restart.
    async fn put_learned(&self, port: PortId, addresses: BTreeSet<MacAddress>);
    /// Says that all that is wanted has been put. Before that no switch is touched.
    async fn set_complete(&self);
    /// Every wanted link, in both directions.
    async fn links(&self) -> Vec<LinkState>;
}

#[async_trait]
impl Fabric for Engine {
    async fn put_switch(&self, spec: SwitchSpec) {
        Engine::put_switch(self, spec).await;
    }

    async fn remove_switch(&self, id: DatapathId) {
        Engine::remove_switch(self, id).await;
    }

    async fn put_slice(&self, spec: SliceSpec) {
        Engine::put_slice(self, spec).await;
    }

    async fn remove_slice(&self, name: Name) {
        Engine::remove_slice(self, name).await;
    }

    async fn put_network(&self, spec: NetworkSpec) {
        Engine::put_network(self, spec).await;
    }

    async fn remove_network(&self, vni: Vni) {
        Engine::remove_network(self, vni).await;
    }

    async fn put_port(&self, spec: PortSpec) {
        Engine::put_port(self, spec).await;
    }

    async fn remove_port(&self, id: PortId) {
        Engine::remove_port(self, id).await;
    }

    async fn put_endpoint(&self, spec: EndpointSpec) {
        Engine::put_endpoint(self, spec).await;
    }

    async fn remove_endpoint(&self, vni: Vni, mac: MacAddress) {
        Engine::remove_endpoint(self, vni, mac).await;
    }

    async fn put_learned(&self, port: PortId, addresses: BTreeSet<MacAddress>) {
        Engine::put_learned(self, port, addresses).await;
    }

    async fn set_complete(&self) {
        Engine::set_complete(self).await;
    }

    async fn links(&self) -> Vec<LinkState> {
        Engine::links(self).await
    }
}

/// Datapath id of a node's switch.
pub(crate) fn datapath_id(cluster: &Name, node: &Name) -> DatapathId {
    DatapathId::derived(&["sps", cluster.as_str(), node.as_str()])
}

/// Name of a node's tunnel interface towards another node of the cluster.
pub(crate) fn tunnel_interface(cluster: &Name, peer: &Name) -> InterfaceName {
    InterfaceName::for_tunnel(&["sps", cluster.as_str(), peer.as_str()])
}

const PORT_PREFIX: &str = "port/";

/// What the engine calls a port.
pub(crate) fn port_id(key: &PortKey) -> PortId {
    format!("{PORT_PREFIX}{key}").into()
}

/// The port that the engine speaks of; none if it is a handoff.
pub(crate) fn port_key(id: &PortId) -> Option<PortKey> {
    id.as_str().strip_prefix(PORT_PREFIX)?.parse().ok()
}

const HANDOFF_PREFIX: &str = "handoff/";

/// What the engine calls a network's port on the trunk of a gateway, for frames of an epoch.
pub(crate) fn handoff_id(network: &NetworkKey, node: &Name, epoch: Epoch) -> PortId {
    format!("{HANDOFF_PREFIX}{network}/{node}/{epoch}").into()
}

/// The slice that a handoff is of; none if it is a port.
pub(crate) fn handoff_slice(id: &PortId) -> Option<Name> {
    id.as_str().strip_prefix(HANDOFF_PREFIX)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_a_handoff_are_never_taken_for_each_other() {
        let port: PortKey = "handoff/s/n".parse().unwrap();
        let network = NetworkKey { slice: "s".parse().unwrap(), name: "n".parse().unwrap() };
        assert_eq!(port_key(&port_id(&port)), Some(port.clone()));
        let handoff = handoff_id(&network, &"g".parse().unwrap(), Epoch::MAX);
        assert_eq!(port_key(&handoff), None);
        assert_ne!(port_id(&port), handoff);
        assert_eq!(handoff_slice(&handoff), Some(network.slice));
        assert_eq!(handoff_slice(&port_id(&port)), None);
    }
}
