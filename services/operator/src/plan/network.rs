use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;
use l2sces_custom_resources::{L2Network, Overlay};
use l2sces_kubernetes::{check_provider, parse_network};
use l2sces_model::Name;

use super::{Claim, NetworkKey, Plan, Problem, Reference};

/// The part of a network that lies in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedNetwork {
    /// The resource that it is made of, and that resource's uid.
    pub(crate) resource: Reference,
    pub(crate) uid: String,
    /// Its addresses, and those of them that the cluster's ports get; or what is wrong with what the
    /// resource says: the network stays as it is until that is right.
    pub(crate) addresses: Result<Addresses, Problem>,
}

/// Addresses of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) cidr: Option<IpNet>,
    pub(crate) range: Option<IpNet>,
}

/// The networks that are made, and the resource that each is made of: of several the oldest. The oldest
/// resources come first, and those that are being deleted are among them: their pods are connected to
/// what they have, and whoever got it would get those pods, too.
pub(super) fn made(networks: &[&Arc<L2Network>]) -> BTreeMap<NetworkKey, Reference> {
    let mut made = BTreeMap::new();
    for network in networks {
        if let Some(key) = made_network(network) {
            made.entry(key).or_insert_with(|| Reference::to(&***network));
        }
    }
    made
}

/// The networks that resources are to be, the oldest resource first. Of several that are to be one, it is
/// the one that it is made of already, or else the oldest. The oldest overlays come first, too.
pub(super) fn claims(
    cluster: &Name,
    overlays: &[&Arc<Overlay>],
    networks: &[&Arc<L2Network>],
    made: &BTreeMap<NetworkKey, Reference>,
) -> BTreeMap<Reference, Claim> {
    let mut owners = made.clone();
    let mut claims = BTreeMap::new();
    for network in networks {
        let reference = Reference::to(&***network);
        let (slice, refusal) = slice(cluster, network);
        let refusal = refusal.or_else(|| stranger(&slice, network, overlays));
        let key = NetworkKey { slice, name: network.network_name() };
        let is_made = recorded_slice(network).is_some();
        let (problem, objection) = match refusal {
            Some(refusal) if is_made => (None, Some(refusal)),
            refusal => (refusal, None),
        };
        let problem = problem.or_else(|| {
            let owner = owners.entry(key.clone()).or_insert_with(|| reference.clone());
            (*owner != reference).then(|| {
                let message =
                    format!("network {} of slice {} is L2Network {owner}", key.name, key.slice);
                Problem::new("NameTaken", message)
            })
        });
        claims.insert(reference, Claim { key, problem, objection });
    }
    claims
}

/// The slice of a network, and what is wrong with what its resource says of that. Where it is made
/// already it stays: pods are connected to it, and would lose it with any other.
fn slice(cluster: &Name, network: &L2Network) -> (Name, Option<Problem>) {
    let wanted = network.slice_name(cluster);
    match recorded_slice(network) {
        Some(slice) if slice != wanted => {
            let message = format!(
                "it stays in slice {slice}: its provider cannot change; to have it in slice {wanted}, \
                 delete it and make it again"
            );
            (slice, Some(Problem::new("ProviderChanged", message)))
        }
        Some(slice) => (slice, None),
        None => {
            let provider = network.spec.provider.as_ref();
            (wanted, provider.and_then(|provider| check_provider(provider).err()))
        }
    }
}

/// Why a network may be none of its slice: the overlay that names the slice says whose may.
fn stranger(slice: &Name, network: &L2Network, overlays: &[&Arc<Overlay>]) -> Option<Problem> {
    let overlay = overlays.iter().find(|overlay| overlay.spec.provider.slice_name() == *slice)?;
    let others = overlay.spec.network_namespaces.as_ref()?;
    let namespace = network.metadata.namespace.as_deref().unwrap_or_default();
    let own = overlay.metadata.namespace.as_deref();
    if own == Some(namespace) || others.iter().any(|other| other == namespace) {
        return None;
    }
    let overlay = Reference::to(&***overlay);
    let message = format!(
        "namespace {namespace} may have no networks of slice {slice}: it is none of \
         spec.networkNamespaces of Overlay {overlay}"
    );
    Some(Problem::new("NamespaceNotAllowed", message))
}

/// The slice whose network a resource is, or is to be.
pub(crate) fn slice_in_use(cluster: &Name, network: &L2Network) -> Name {
    recorded_slice(network).unwrap_or_else(|| network.slice_name(cluster))
}

/// The slice that a network is made in, by its status.
pub(crate) fn recorded_slice(network: &L2Network) -> Option<Name> {
    network.status.as_ref()?.slice.as_ref()?.parse().ok()
}

/// The network that a resource is made as, by its status.
pub(crate) fn made_network(network: &L2Network) -> Option<NetworkKey> {
    Some(NetworkKey { slice: recorded_slice(network)?, name: network.network_name() })
}

/// The networks of the cluster.
pub(super) fn plan(
    networks: &[&Arc<L2Network>],
    plan: &Plan,
) -> BTreeMap<NetworkKey, PlannedNetwork> {
    networks
        .iter()
        .filter_map(|network| {
            let resource = Reference::to(&***network);
            let claim = plan.claims.get(&resource).filter(|claim| claim.problem.is_none())?;
            let planned = PlannedNetwork {
                resource,
                uid: network.metadata.uid.clone().unwrap_or_default(),
                addresses: addresses(network),
            };
            Some((claim.key.clone(), planned))
        })
        .collect()
}

fn addresses(network: &L2Network) -> Result<Addresses, Problem> {
    let spec = &network.spec;
    let cidr = parse_network("spec.networkCIDR", spec.network_cidr.as_deref())?;
    let range = parse_network("spec.podAddressRange", spec.pod_address_range.as_deref())?;
    match (cidr, range) {
        (None, Some(range)) => Err(Problem::new(
            "InvalidAddresses",
            format!("spec.podAddressRange: {range} is part of no spec.networkCIDR"),
        )),
        (Some(cidr), Some(range)) if !cidr.contains(&range) => Err(Problem::new(
            "InvalidAddresses",
            format!("spec.podAddressRange: {range} is not part of spec.networkCIDR {cidr}"),
        )),
        _ => Ok(Addresses { cidr, range }),
    }
}
