//! Which links of a gateway are measured, and what came of it.

use std::sync::Arc;

use l2sces_measurement::{Collector, MeasuredLink};
use l2sces_model::InterfaceName;
use l2sces_proto::measurement::v1::LinkMeasurement;

use crate::{
    domain::{Gateway, GatewayKey, StoredSlice, Topology, tunnel_interface},
    downstream::Agents,
};

/// Has the ned-agents measure links, and knows what they measured last.
pub struct LinkMeasurements {
    collector: Collector,
}

impl LinkMeasurements {
    /// Nothing is measured yet.
    pub fn new<A: Agents>(agents: Arc<A>) -> Self {
        let collector = Collector::new(move |endpoint: String, request| {
            let agents = Arc::clone(&agents);
            async move { agents.watch_measurements(&endpoint, request).await }
        });
        Self { collector }
    }

    /// Has a gateway's agent measure what these slices ask for.
    pub(crate) fn set(&self, gateway: &Gateway, slices: &[StoredSlice]) {
        let key = &gateway.key;
        let mut measured = Vec::new();
        for StoredSlice { slice, .. } in slices {
            let Some(policy) = &slice.measurement else { continue };
            for link in Topology::from(slice).links {
                let peer = match (link.a == *key, link.b == *key) {
                    (true, _) => link.b,
                    (_, true) => link.a,
                    _ => continue,
                };
                let interface = tunnel_interface(&peer);
                MeasuredLink::add(&mut measured, &slice.name, policy, interface, peer.to_string());
            }
        }
        self.collector.set(&key.to_string(), &gateway.agent_endpoint, measured);
    }

    /// Has nothing measured by a gateway's agent any more.
    pub(crate) fn remove(&self, gateway: &GatewayKey) {
        self.collector.remove(&gateway.to_string());
    }

    /// What was measured last of a link, in the direction away from a gateway.
    pub(crate) fn latest(
        &self,
        gateway: &GatewayKey,
        interface: &InterfaceName,
    ) -> Option<LinkMeasurement> {
        self.collector.latest(&gateway.to_string(), interface)
    }

    /// Why a link is not measured now, in the direction away from a gateway, though a slice asks for
    /// it.
    pub(crate) fn fault(&self, gateway: &GatewayKey, interface: &InterfaceName) -> Option<String> {
        self.collector.fault(&gateway.to_string(), interface)
    }
}
