//! What all resources of the cluster ask for, taken together: nodes, slices and networks as the
//! sdn-controller and the sco-provider are to have them. No I/O: the same resources always make the
//! same plan, so that nothing is to be remembered over a restart.
//!
//! A resource counts while it has the operator's finalizer and is not being deleted: what is made
//! for it is removed before it goes away, and no other resource gets its network before that.

mod device;
mod machine;
mod network;
mod overlay;
mod slice;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::api::core::v1::Node;
use l2sces_custom_resources::{FINALIZER, L2Network, NetworkEdgeDevice, Overlay};
use l2sces_kubernetes::{by_age, held_by_age};
use l2sces_model::Name;
use l2sces_proto::measurement::v1::MeasurementPolicy;

pub(crate) use device::{Gateway, gateway};
pub(crate) use l2sces_kubernetes::{NetworkKey, Problem, Reference};
pub(crate) use machine::{Machine, Machines, has_label};
pub(crate) use network::{PlannedNetwork, made_network, recorded_slice, slice_in_use};
pub(crate) use slice::{PlannedLink, PlannedSlice};

/// The resources, as they are now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) overlays: Vec<Arc<Overlay>>,
    pub(crate) devices: Vec<Arc<NetworkEdgeDevice>>,
    pub(crate) networks: Vec<Arc<L2Network>>,
}

/// What is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) nodes: BTreeMap<Name, PlannedNode>,
    /// Nodes that nothing uses, and on which agents are started all the same: by a label that is to go.
    pub(crate) strays: BTreeSet<Name>,
    pub(crate) slices: BTreeMap<Name, PlannedSlice>,
    pub(crate) networks: BTreeMap<NetworkKey, PlannedNetwork>,
    /// What becomes of each resource that counts.
    pub(crate) overlays: BTreeMap<Reference, PlannedOverlay>,
    pub(crate) devices: BTreeMap<Reference, Result<Gateway, Problem>>,
    /// The network that a resource is, also if another is it instead.
    pub(crate) claims: BTreeMap<Reference, Claim>,
    /// The networks that are made of resources that are being deleted, which keep them until nothing
    /// is left of them.
    pub(crate) leaving: BTreeMap<NetworkKey, Reference>,
}

/// A node with a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedNode {
    pub(crate) machine: Machine,
    /// Where tunnels from other clusters end, if it is a gateway.
    pub(crate) gateway: Option<IpAddr>,
}

/// What becomes of an overlay.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PlannedOverlay {
    pub(crate) nodes: BTreeSet<Name>,
    /// None: each node with each.
    pub(crate) links: Vec<PlannedLink>,
    pub(crate) avoid_transit: BTreeSet<Name>,
    pub(crate) measurement: Option<MeasurementPolicy>,
    /// What of it cannot be.
    pub(crate) problems: Vec<Problem>,
}

/// The network that a resource is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) key: NetworkKey,
    /// Why it is not to be had.
    pub(crate) problem: Option<Problem>,
    /// Why it is to be had, but not as the resource says now.
    pub(crate) objection: Option<Problem>,
}

impl Plan {
    /// The plan for the resources of a cluster.
    pub(crate) fn of(cluster: &Name, snapshot: &Snapshot) -> Self {
        let machines = Machines::of(&snapshot.nodes);
        let overlays = by_age(FINALIZER, &snapshot.overlays);
        let devices = by_age(FINALIZER, &snapshot.devices);
        let networks = by_age(FINALIZER, &snapshot.networks);

        let mut plan = Self::default();
        for overlay in &overlays {
            plan.overlays.insert(Reference::to(&***overlay), overlay::plan(overlay, &machines));
        }
        plan.devices = device::plan(&devices, &machines);
        plan.nodes = nodes(&plan, &machines);
        let labelled = machine::labelled(&snapshot.nodes);
        plan.strays = labelled.filter(|name| !plan.nodes.contains_key(name)).collect();
        let made = network::made(&held_by_age(FINALIZER, &snapshot.networks));
        plan.claims = network::claims(cluster, &overlays, &networks, &made);
        plan.leaving =
            made.into_iter().filter(|(_, owner)| !plan.claims.contains_key(owner)).collect();
        let inputs = slice::Inputs { overlays: &overlays, devices: &devices, plan: &plan };
        let slices = inputs.slices();
        plan.slices = slices;
        plan.networks = network::plan(&networks, &plan);
        plan
    }
}

/// The nodes that overlays and devices use.
fn nodes(plan: &Plan, machines: &Machines) -> BTreeMap<Name, PlannedNode> {
    let switches = plan.overlays.values().flat_map(|overlay| &overlay.nodes);
    let gateways: BTreeMap<&Name, IpAddr> =
        plan.devices.values().flatten().map(|gateway| (&gateway.node, gateway.address)).collect();
    switches
        .chain(gateways.keys().copied())
        .filter_map(|name| {
            let machine = machines.get(name)?.clone();
            let gateway = gateways.get(name).copied();
            Some((name.clone(), PlannedNode { machine, gateway }))
        })
        .collect()
}

#[cfg(test)]
mod tests;
