//! Which links of a node are measured, and what came of it.

use std::sync::Arc;

use l2sces_measurement::{Collector, MeasuredLink};
use l2sces_model::{InterfaceName, Name};
use l2sces_proto::measurement::v1::LinkMeasurement;

use crate::{
    agent::Agents,
    domain::{Node, Slice},
    fabric::tunnel_interface,
};

/// Has the agents of the cluster measure links, and knows what they measured last.
pub(crate) struct LinkMeasurements {
    cluster: Name,
    collector: Collector,
}

impl LinkMeasurements {
    pub(crate) fn new(cluster: Name, agents: Arc<dyn Agents>) -> Self {
        let collector = Collector::new(move |endpoint: String, request| {
            let agents = Arc::clone(&agents);
            async move { agents.watch_measurements(&endpoint, request).await }
        });
        Self { cluster, collector }
    }

    /// Has a node's agent measure what these slices ask for.
    pub(crate) fn set(&self, node: &Node, slices: &[Slice]) {
        let name = &node.spec.name;
        let mut measured = Vec::new();
        for slice in slices {
            let Some(policy) = &slice.spec.measurement else { continue };
            for link in slice.links() {
                let peer = match (link.a == *name, link.b == *name) {
                    (true, _) => link.b,
                    (_, true) => link.a,
                    _ => continue,
                };
                let interface = tunnel_interface(&self.cluster, &peer);
                let target = self.label(&peer);
                MeasuredLink::add(&mut measured, &slice.spec.name, policy, interface, target);
            }
        }
        self.collector.set(&self.label(name), &node.spec.agent_endpoint, measured);
    }

    /// Has nothing measured by a node's agent any more.
    pub(crate) fn remove(&self, node: &Name) {
        self.collector.remove(&self.label(node));
    }

    /// What was measured last of a link, in the direction away from a node.
    pub(crate) fn latest(&self, node: &Name, interface: &InterfaceName) -> Option<LinkMeasurement> {
        self.collector.latest(&self.label(node), interface)
    }

    /// Why a link is not measured now, in the direction away from a node, though a slice asks for it.
    pub(crate) fn fault(&self, node: &Name, interface: &InterfaceName) -> Option<String> {
        self.collector.fault(&self.label(node), interface)
    }

    fn label(&self, node: &Name) -> String {
        format!("{}/{node}", self.cluster)
    }
}
