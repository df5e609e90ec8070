use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;
use l2sces_custom_resources::SliceNetwork;
use l2sces_kubernetes::{NetworkKey, Problem, Reference, parse_network};
use l2sces_model::Name;

use super::{
    admission::Admission,
    claim::{Claim, Claimant, settle, slice_of},
    provider::Profiles,
    recorded_network,
};

/// What is wanted of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedNetwork {
    /// The clusters that it spans.
    pub(crate) clusters: BTreeSet<Name>,
    /// Its addresses.
    pub(crate) cidr: Option<IpNet>,
}

/// The name of the network that a resource is.
pub(super) fn name(network: &SliceNetwork) -> Name {
    Name::standing_for(network.metadata.name.as_deref().unwrap_or_default())
}

/// The networks that resources are to be, the oldest resource first.
pub(super) fn claims(
    networks: &[&Arc<SliceNetwork>],
    profiles: &Profiles<'_>,
    admission: &Admission<'_>,
) -> BTreeMap<Reference, Claim<NetworkKey, PlannedNetwork>> {
    let claimants = networks.iter().map(|network| {
        let resource = Reference::to(&***network);
        let spec = &network.spec;
        let recorded = recorded_network(network).map(|key| key.slice);
        let named =
            profiles.slice(&resource.namespace, spec.provider.as_ref(), spec.provider_ref.as_ref());
        let is_made = recorded.is_some();
        let (slice, objection) = slice_of(recorded, named);
        let stranger =
            slice.as_ref().ok().and_then(|slice| admission.refusal(slice, &resource.namespace));
        // What is made stays, and its pods in it.
        let (slice, objection) = match stranger {
            Some(stranger) if !is_made => (Err(stranger), objection),
            stranger => (slice, objection.or(stranger)),
        };
        let key = slice.map(|slice| NetworkKey { slice, name: name(network) });
        let generation = network.metadata.generation;
        let claim = Claim { generation, key, objection, wanted: wanted(network) };
        Claimant { resource, is_made, claim }
    });
    settle("SliceNetwork", "network", claimants.collect())
}

fn wanted(network: &SliceNetwork) -> Result<PlannedNetwork, Problem> {
    if network.spec.clusters.is_empty() {
        return Err(Problem::new("NoClusters", "spec.clusters: it names no cluster"));
    }
    Ok(PlannedNetwork {
        clusters: network.spec.clusters.iter().map(|name| Name::standing_for(name)).collect(),
        cidr: parse_network("spec.networkCIDR", network.spec.network_cidr.as_deref())?,
    })
}
