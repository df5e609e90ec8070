//! What all resources of the cluster ask for, taken together: which slice or network each is to be, and
//! what of it is wanted. No I/O: the same resources always make the same plan, so that nothing is to be
//! remembered over a restart.

mod admission;
mod claim;
mod network;
mod provider;
mod slice;

use std::{collections::BTreeMap, sync::Arc};

use l2sces_custom_resources::{
    ProviderProfile, SLICE_NETWORK_FINALIZER, SLICE_OVERLAY_FINALIZER, SliceNetwork, SliceOverlay,
};
use l2sces_kubernetes::{NetworkKey, Reference, by_age};
use l2sces_model::Name;

pub(crate) use claim::Claim;
pub(crate) use network::PlannedNetwork;
pub(crate) use slice::{PlannedCluster, PlannedLink, PlannedSlice};

use crate::plan::{admission::Admission, provider::Profiles};

/// The resources, as they are now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) overlays: Vec<Arc<SliceOverlay>>,
    pub(crate) networks: Vec<Arc<SliceNetwork>>,
    pub(crate) profiles: Vec<Arc<ProviderProfile>>,
}

/// What each resource that counts is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) slices: BTreeMap<Reference, Claim<Name, PlannedSlice>>,
    pub(crate) networks: BTreeMap<Reference, Claim<NetworkKey, PlannedNetwork>>,
}

impl Plan {
    /// The plan for the resources of the cluster.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let profiles = Profiles::of(&snapshot.profiles);
        let overlays = by_age(SLICE_OVERLAY_FINALIZER, &snapshot.overlays);
        let networks = by_age(SLICE_NETWORK_FINALIZER, &snapshot.networks);
        let slices = slice::claims(&overlays, &profiles);
        let networks = network::claims(&networks, &profiles, &Admission::of(&overlays, &slices));
        Self { slices, networks }
    }
}

/// The slice that a SliceOverlay is, by its status.
pub(crate) fn recorded_slice(overlay: &SliceOverlay) -> Option<Name> {
    overlay.status.as_ref()?.slice.as_ref()?.parse().ok()
}

/// The network that a SliceNetwork is, by its status.
pub(crate) fn recorded_network(network: &SliceNetwork) -> Option<NetworkKey> {
    let slice = network.status.as_ref()?.slice.as_ref()?.parse().ok()?;
    Some(NetworkKey { slice, name: network::name(network) })
}

#[cfg(test)]
mod tests;
