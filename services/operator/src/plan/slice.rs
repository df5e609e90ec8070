use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use l2sces_custom_resources::{NetworkEdgeDevice, Overlay};
use l2sces_model::Name;
use l2sces_proto::measurement::v1::MeasurementPolicy;

use super::{Plan, PlannedOverlay, Reference};

/// An undirected link between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlannedLink {
    pub(crate) a: Name,
    pub(crate) b: Name,
    /// 0: what a link costs by default.
    pub(crate) cost: u32,
}

/// The part of a slice that lies in the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PlannedSlice {
    /// The overlay that it uses.
    pub(crate) overlay: Option<Reference>,
    /// Its nodes, its gateways among them; none: there is no overlay.
    pub(crate) nodes: BTreeSet<Name>,
    /// None: each node with each.
    pub(crate) links: Vec<PlannedLink>,
    pub(crate) avoid_transit: BTreeSet<Name>,
    pub(crate) measurement: Option<MeasurementPolicy>,
    /// Nodes of its gateways, that of the oldest device first.
    pub(crate) gateways: Vec<Name>,
    /// Addresses or DNS names of the gateways of other clusters that it is linked with; none: all.
    pub(crate) neighbors: BTreeSet<String>,
}

/// What slices are made of.
pub(super) struct Inputs<'a> {
    /// The oldest first.
    pub(super) overlays: &'a [&'a Arc<Overlay>],
    /// The oldest first.
    pub(super) devices: &'a [&'a Arc<NetworkEdgeDevice>],
    /// Of which overlays, devices and claims are known.
    pub(super) plan: &'a Plan,
}

impl Inputs<'_> {
    /// The slices that networks and devices name.
    pub(super) fn slices(&self) -> BTreeMap<Name, PlannedSlice> {
        let mut namespaces: BTreeMap<Name, Vec<&str>> = BTreeMap::new();
        for device in self.devices {
            if self.plan.devices.get(&Reference::to(&***device)).is_some_and(Result::is_ok) {
                let namespace = device.metadata.namespace.as_deref().unwrap_or_default();
                namespaces.entry(device.spec.provider.slice_name()).or_default().push(namespace);
            }
        }
        for (reference, claim) in &self.plan.claims {
            if claim.problem.is_none() {
                let slice = claim.key.slice.clone();
                namespaces.entry(slice).or_default().push(&reference.namespace);
            }
        }
        namespaces
            .into_iter()
            .map(|(name, namespaces)| {
                let slice = self.slice(&name, &namespaces);
                (name, slice)
            })
            .collect()
    }

    fn slice(&self, name: &Name, namespaces: &[&str]) -> PlannedSlice {
        let reference = self.overlay_of(name, namespaces);
        let none = PlannedOverlay::default();
        let overlay =
            reference.as_ref().and_then(|key| self.plan.overlays.get(key)).unwrap_or(&none);
        let mut slice = PlannedSlice {
            nodes: overlay.nodes.clone(),
            links: overlay.links.clone(),
            avoid_transit: overlay.avoid_transit.clone(),
            measurement: overlay.measurement.clone(),
            overlay: reference,
            ..PlannedSlice::default()
        };
        for device in self.devices {
            let gateway = self.plan.devices.get(&Reference::to(&***device));
            if device.spec.provider.slice_name() != *name {
                continue;
            }
            let Some(Ok(gateway)) = gateway else { continue };
            let neighbors = device.spec.neighbors.iter().map(|neighbor| neighbor.domain.clone());
            slice.neighbors.extend(neighbors);
            if slice.gateways.contains(&gateway.node) {
                continue;
            }
            slice.gateways.push(gateway.node.clone());
            // A gateway that the overlay does not know is linked as all are where all are.
            if slice.nodes.insert(gateway.node.clone()) && !overlay.links.is_empty() {
                slice.links.extend(overlay.nodes.iter().map(|node| PlannedLink {
                    a: node.clone(),
                    b: gateway.node.clone(),
                    cost: 0,
                }));
            }
        }
        slice
    }

    /// The overlay of a slice: the one that names it; failing that the oldest of the first namespace
    /// that has one; failing that the only one of the cluster.
    fn overlay_of(&self, slice: &Name, namespaces: &[&str]) -> Option<Reference> {
        let named =
            self.overlays.iter().find(|overlay| overlay.spec.provider.slice_name() == *slice);
        let of_namespace = || {
            namespaces.iter().find_map(|namespace| {
                self.overlays
                    .iter()
                    .find(|overlay| overlay.metadata.namespace.as_deref() == Some(*namespace))
            })
        };
        let only = || match self.overlays {
            [overlay] => Some(overlay),
            _ => None,
        };
        let overlay = named.or_else(of_namespace).or_else(only)?;
        Some(Reference::to(&***overlay))
    }
}
