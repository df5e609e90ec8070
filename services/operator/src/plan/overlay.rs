use std::collections::BTreeMap;

use l2sces_custom_resources::{Overlay, Topology};
use l2sces_model::Name;

use super::{Machines, PlannedLink, PlannedOverlay, Problem};
use l2sces_kubernetes::measurement_policy;

/// What becomes of an overlay.
pub(super) fn plan(overlay: &Overlay, machines: &Machines) -> PlannedOverlay {
    let spec = &overlay.spec;
    let mut planned = PlannedOverlay {
        measurement: measurement_policy(spec.measurement.as_ref(), spec.monitor.as_ref()),
        ..PlannedOverlay::default()
    };
    match &spec.topology {
        Some(topology) => plan_topology(topology, machines, &mut planned),
        None => planned.nodes = machines.names().cloned().collect(),
    }
    if planned.nodes.is_empty() {
        planned.problems.push(Problem::new("NoNodes", "it has no node that exists"));
    }
    planned
}

fn plan_topology(topology: &Topology, machines: &Machines, planned: &mut PlannedOverlay) {
    for node in &topology.nodes {
        let name = Name::standing_for(node);
        if machines.get(&name).is_some() {
            planned.nodes.insert(name);
        } else {
            let message = format!("node {node} does not exist, or has no InternalIP");
            planned.problems.push(Problem::new("UnknownNode", message));
        }
    }
    let mut links = BTreeMap::new();
    for link in &topology.links {
        let (a, b) = (Name::standing_for(&link.endpoint_a), Name::standing_for(&link.endpoint_b));
        let stranger =
            [(&a, &link.endpoint_a), (&b, &link.endpoint_b)].into_iter().find(|(name, _)| {
                !topology.nodes.iter().any(|node| Name::standing_for(node) == **name)
            });
        if let Some((_, stranger)) = stranger {
            let message = format!("a link ends at {stranger}, which is none of its nodes");
            planned.problems.push(Problem::new("InvalidLink", message));
        } else if a == b {
            let message = format!("a link has both ends at {}", link.endpoint_a);
            planned.problems.push(Problem::new("InvalidLink", message));
        } else if planned.nodes.contains(&a) && planned.nodes.contains(&b) {
            let cost = link.cost.and_then(|cost| u32::try_from(cost).ok()).unwrap_or_default();
            links.entry(if a < b { (a, b) } else { (b, a) }).or_insert(cost);
        }
    }
    planned.links = links.into_iter().map(|((a, b), cost)| PlannedLink { a, b, cost }).collect();
    planned.avoid_transit = topology
        .avoid_transit
        .iter()
        .map(|node| Name::standing_for(node))
        .filter(|node| planned.nodes.contains(node))
        .collect();
}
