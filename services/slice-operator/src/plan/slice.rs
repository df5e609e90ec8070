use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use l2sces_custom_resources::{Link, SliceGateway, SliceOverlay, SliceTopology};
use l2sces_kubernetes::{Problem, Reference, measurement_policy};
use l2sces_model::Name;
use l2sces_proto::measurement::v1::MeasurementPolicy;

use super::{
    claim::{Claim, Claimant, settle, slice_of},
    provider::Profiles,
    recorded_slice,
};

/// What is wanted of a slice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PlannedSlice {
    pub(crate) clusters: Vec<PlannedCluster>,
    /// None: each cluster with each.
    pub(crate) links: Vec<PlannedLink>,
    pub(crate) measurement: Option<MeasurementPolicy>,
}

/// A cluster of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedCluster {
    pub(crate) name: Name,
    /// Where its links end; none: at every gateway.
    pub(crate) gateway: Option<SliceGateway>,
}

/// An undirected link between two clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedLink {
    pub(crate) a: Name,
    pub(crate) b: Name,
    /// 0: what a link costs by default.
    pub(crate) cost: u32,
}

/// The slices that resources are to be, the oldest resource first.
pub(super) fn claims(
    overlays: &[&Arc<SliceOverlay>],
    profiles: &Profiles<'_>,
) -> BTreeMap<Reference, Claim<Name, PlannedSlice>> {
    let claimants = overlays.iter().map(|overlay| {
        let resource = Reference::to(&***overlay);
        let spec = &overlay.spec;
        let recorded = recorded_slice(overlay);
        let named =
            profiles.slice(&resource.namespace, spec.provider.as_ref(), spec.provider_ref.as_ref());
        let is_made = recorded.is_some();
        let (key, objection) = slice_of(recorded, named);
        let generation = overlay.metadata.generation;
        let claim = Claim { generation, key, objection, wanted: wanted(overlay) };
        Claimant { resource, is_made, claim }
    });
    settle("SliceOverlay", "slice", claimants.collect())
}

fn wanted(overlay: &SliceOverlay) -> Result<PlannedSlice, Problem> {
    let topology = &overlay.spec.topology;
    let clusters = clusters(topology)?;
    Ok(PlannedSlice {
        links: links(&topology.links, &clusters)?,
        clusters,
        measurement: measurement_policy(None, overlay.spec.monitor.as_ref()),
    })
}

fn clusters(topology: &SliceTopology) -> Result<Vec<PlannedCluster>, Problem> {
    if topology.nodes.is_empty() {
        return Err(Problem::new("NoClusters", "spec.topology.nodes: it has no cluster"));
    }
    let mut seen = BTreeSet::new();
    let cluster = |node: &l2sces_custom_resources::SliceNode| {
        let name = Name::standing_for(&node.name);
        if seen.insert(name.clone()) {
            return Ok(PlannedCluster { name, gateway: node.gateway.clone() });
        }
        let message = format!("spec.topology.nodes: cluster {} is there twice", node.name);
        Err(Problem::new("InvalidTopology", message))
    };
    topology.nodes.iter().map(cluster).collect()
}

fn links(links: &[Link], clusters: &[PlannedCluster]) -> Result<Vec<PlannedLink>, Problem> {
    let invalid = |message: String| {
        Problem::new("InvalidTopology", format!("spec.topology.links: {message}"))
    };
    let mut seen = BTreeSet::new();
    let mut planned = Vec::new();
    for link in links {
        let [a, b] = [&link.endpoint_a, &link.endpoint_b].map(|end| Name::standing_for(end));
        for end in [&a, &b] {
            if !clusters.iter().any(|cluster| cluster.name == *end) {
                return Err(invalid(format!("{end} is none of its clusters")));
            }
        }
        if a == b {
            return Err(invalid(format!("a link has both ends at {a}")));
        }
        // The first of several says what it costs.
        if seen.insert(BTreeSet::from([a.clone(), b.clone()])) {
            let cost = link.cost.and_then(|cost| u32::try_from(cost).ok()).unwrap_or_default();
            planned.push(PlannedLink { a, b, cost });
        }
    }
    Ok(planned)
}
