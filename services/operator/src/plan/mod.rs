//! What all resources of the cluster ask for, taken together: nodes, slices and networks as the
//! sdn-controller and the sco-provider are to have them. No I/O: the same resources always make the
//! same plan, so that nothing is to be remembered over a restart.
//!
//! A resource counts while it has the operator's finalizer and is not being deleted: what is made
//! for it is removed before it goes away.

mod device;
mod machine;
mod network;
mod overlay;
mod slice;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::api::core::v1::Node;
use kube::{Resource, ResourceExt};
use l2sces_custom_resources::{FINALIZER, L2Network, NetworkEdgeDevice, Overlay};
use l2sces_model::Name;
use l2sces_proto::measurement::v1::MeasurementPolicy;

pub(crate) use device::{Gateway, gateway};
pub(crate) use machine::{Machine, Machines};
pub(crate) use network::{PlannedNetwork, recorded_slice};
pub(crate) use slice::{PlannedLink, PlannedSlice};

/// The resources, as they are now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) overlays: Vec<Arc<Overlay>>,
    pub(crate) devices: Vec<Arc<NetworkEdgeDevice>>,
    pub(crate) networks: Vec<Arc<L2Network>>,
}

/// Names a resource in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reference {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Reference {
    pub(crate) fn to<R: Resource>(resource: &R) -> Self {
        Self {
            namespace: resource.meta().namespace.clone().unwrap_or_default(),
            name: resource.meta().name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Names a network among those of all slices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NetworkKey {
    pub(crate) slice: Name,
    pub(crate) name: Name,
}

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slice, self.name)
    }
}

/// Why something that a resource asks for cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// One CamelCase word.
    pub(crate) reason: &'static str,
    /// One sentence.
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) nodes: BTreeMap<Name, PlannedNode>,
    pub(crate) slices: BTreeMap<Name, PlannedSlice>,
    pub(crate) networks: BTreeMap<NetworkKey, PlannedNetwork>,
    /// What becomes of each resource that counts.
    pub(crate) overlays: BTreeMap<Reference, PlannedOverlay>,
    pub(crate) devices: BTreeMap<Reference, Result<Gateway, Problem>>,
    /// The network that a resource is, also if another is it instead.
    pub(crate) claims: BTreeMap<Reference, Claim>,
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
        let overlays = by_age(&snapshot.overlays);
        let devices = by_age(&snapshot.devices);
        let networks = by_age(&snapshot.networks);

        let mut plan = Self::default();
        for overlay in &overlays {
            plan.overlays.insert(Reference::to(&***overlay), overlay::plan(overlay, &machines));
        }
        plan.devices = device::plan(&devices, &machines);
        plan.nodes = nodes(&plan, &machines);
        plan.claims = network::claims(cluster, &networks);
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

/// The resources that count, the oldest first.
fn by_age<R: Resource>(resources: &[Arc<R>]) -> Vec<&Arc<R>> {
    let mut active: Vec<_> = resources.iter().filter(|resource| is_active(&***resource)).collect();
    active.sort_by_cached_key(|resource| {
        let created = resource.meta().creation_timestamp.as_ref().map(|time| time.0);
        (created, Reference::to(&***resource))
    });
    active
}

/// Whether a resource counts.
pub(crate) fn is_active<R: Resource>(resource: &R) -> bool {
    resource.meta().deletion_timestamp.is_none()
        && resource.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

#[cfg(test)]
mod tests;
