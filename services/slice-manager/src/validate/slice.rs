use std::collections::{BTreeMap, BTreeSet};

use l2sces_measurement::Policy;
use l2sces_model::Name;
use l2sces_proto::{measurement::v1::MeasurementPolicy, slice::v1 as api};

use super::{
    Described, Report,
    graph::{self, Ends},
    label,
    manager::manager,
    name::names,
};
use crate::domain::{ClusterSpec, Key, SliceCluster, SliceSpec};

/// Most clusters of a slice.
const MAX_CLUSTERS: usize = 1_000;
/// Most nodes of a cluster that a slice names.
const MAX_NODES: usize = 10_000;

/// The slice that a client describes.
///
/// # Errors
/// Everything that is wrong with it, as far as it can be told from itself.
pub fn slice(message: Option<&api::Slice>) -> Result<Described<SliceSpec>, Report> {
    let mut report = Report::default();
    let Some(message) = message else {
        return Err(Report::of("slice", "must be set"));
    };
    let metadata = message.metadata.clone().unwrap_or_default();
    let name = report.check("slice.metadata.name", metadata.name.parse::<Name>());
    let managed_by = manager(&mut report, "slice.metadata.managed_by", metadata.managed_by);
    let empty = api::SliceSpec::default();
    let spec = message.spec.as_ref().unwrap_or(&empty);
    if spec.clusters.is_empty() {
        report.add("slice.spec.clusters", "must name at least one cluster");
    }
    report.limit("slice.spec.clusters", spec.clusters.len(), MAX_CLUSTERS);
    let mut seen = BTreeSet::new();
    let mut clusters = Vec::new();
    for (index, message) in spec.clusters.iter().take(MAX_CLUSTERS).enumerate() {
        let field = format!("slice.spec.clusters[{index}]");
        let Some(part) = part(&mut report, &field, message) else { continue };
        if seen.insert(part.cluster.clone()) {
            clusters.push(part);
        } else {
            report.add(format!("{field}.cluster"), format!("'{}' is there already", part.cluster));
        }
    }
    let links = graph::links(&mut report, "slice.spec.links", &spec.links, Ends::Gateways);
    let vertices: Vec<&Name> = clusters.iter().map(|part| &part.cluster).collect();
    graph::connected(&mut report, "slice.spec.links", &links, &vertices, "cluster of the slice");
    let measurement = measurement(&mut report, spec.measurement.as_ref());
    let described = name.map(|name| Described {
        key: Key::Slice(name),
        spec: SliceSpec { clusters, links, measurement, clusters_generation: 0 },
        etag: metadata.etag,
        managed_by,
    });
    report.finish(described)
}

fn measurement(report: &mut Report, message: Option<&MeasurementPolicy>) -> Option<Policy> {
    match Policy::read(message?) {
        Ok(policy) => Some(policy),
        Err(faults) => {
            for fault in faults {
                report.add(format!("slice.spec.measurement.{}", fault.field), fault.description);
            }
            None
        }
    }
}

fn part(report: &mut Report, field: &str, message: &api::SliceCluster) -> Option<SliceCluster> {
    let cluster = report.check(&format!("{field}.cluster"), message.cluster.parse::<Name>());
    let nodes = names(report, &format!("{field}.nodes"), &message.nodes, MAX_NODES);
    let links = graph::links(report, &format!("{field}.links"), &message.links, Ends::Vertices);
    let labels_field = format!("{field}.transit_labels");
    let transit_labels = label::labels(report, &labels_field, &message.transit_labels);
    Some(SliceCluster { cluster: cluster?, nodes, links, transit_labels })
}

/// Checks a slice against the clusters that exist.
///
/// # Errors
/// Everything that it refers to and that is not there.
pub fn slice_references(
    spec: &SliceSpec,
    clusters: &BTreeMap<Name, ClusterSpec>,
) -> Result<(), Report> {
    let mut report = Report::default();
    for (index, part) in spec.clusters.iter().enumerate() {
        let field = format!("slice.spec.clusters[{index}]");
        let Some(cluster) = clusters.get(&part.cluster) else {
            report.add(format!("{field}.cluster"), "no such cluster");
            continue;
        };
        let vertices: Vec<&Name> = if part.nodes.is_empty() {
            cluster.nodes.iter().map(|node| &node.name).collect()
        } else {
            part.nodes.iter().collect()
        };
        let what = format!("node of cluster '{}' in the slice", part.cluster);
        graph::connected(&mut report, &format!("{field}.links"), &part.links, &vertices, &what);
        part_references(&mut report, &field, part, cluster, spec.spans_clusters());
        gateway_references(&mut report, spec, part, cluster);
    }
    report.finish(Some(()))
}

/// Notes the links between clusters that end on a node of this cluster which is no gateway of the
/// slice.
fn gateway_references(
    report: &mut Report,
    spec: &SliceSpec,
    part: &SliceCluster,
    cluster: &ClusterSpec,
) {
    let members = part.members(cluster);
    for (index, link) in spec.links.iter().enumerate() {
        let ends =
            [("gateway_a", &link.a, &link.gateway_a), ("gateway_b", &link.b, &link.gateway_b)];
        for (side, _, gateway) in ends.into_iter().filter(|(_, end, _)| **end == part.cluster) {
            let Some(gateway) = gateway else { continue };
            let fault = match members.iter().find(|node| node.name == *gateway) {
                Some(node) if node.gateway.is_some() => continue,
                Some(_) => "is no gateway",
                None => "is no node of the cluster in the slice",
            };
            let field = format!("slice.spec.links[{index}].{side}");
            report.add(field, format!("'{gateway}' {fault}"));
        }
    }
}

/// Checks whether a cluster that changes still has what a slice needs of it. A node that joins and
/// that the slice's links do not reach is no fault: it takes no part until they do.
///
/// # Errors
/// What it would lack.
pub fn cluster_still_serves(
    spec: &SliceSpec,
    name: &Name,
    cluster: &ClusterSpec,
) -> Result<(), Report> {
    let mut report = Report::default();
    for (index, part) in spec.clusters.iter().enumerate().filter(|(_, part)| part.cluster == *name)
    {
        let field = format!("slice.spec.clusters[{index}]");
        let linked = part.links.iter().flat_map(|link| [&link.a, &link.b]);
        for node in linked.collect::<BTreeSet<_>>() {
            if part.nodes.is_empty() && cluster.node(node).is_none() {
                report.add(format!("{field}.links"), format!("names node '{node}'"));
            }
        }
        part_references(&mut report, &field, part, cluster, spec.spans_clusters());
        gateway_references(&mut report, spec, part, cluster);
    }
    report.finish(Some(()))
}

fn part_references(
    report: &mut Report,
    field: &str,
    part: &SliceCluster,
    cluster: &ClusterSpec,
    spans_clusters: bool,
) {
    let known: BTreeSet<&Name> = cluster.nodes.iter().map(|node| &node.name).collect();
    for (index, node) in part.nodes.iter().enumerate().filter(|(_, node)| !known.contains(node)) {
        let description = format!("no such node in cluster '{}': '{node}'", part.cluster);
        report.add(format!("{field}.nodes[{index}]"), description);
    }
    let members = part.members(cluster);
    if cluster.nodes.is_empty() {
        report.add(format!("{field}.cluster"), format!("cluster '{}' has no nodes", part.cluster));
    } else if spans_clusters && !members.iter().any(|node| node.gateway.is_some()) {
        let description = format!(
            "none of the nodes of cluster '{}' in the slice is a gateway, \
             which a slice of several clusters needs",
            part.cluster
        );
        report.add(format!("{field}.nodes"), description);
    }
}

#[cfg(test)]
mod tests {
    use l2sces_proto::resource::v1::Metadata;

    use super::*;
    use crate::domain::Driver;
    use crate::domain::{Gateway, Node};

    fn link(a: &str, b: &str) -> api::Link {
        api::Link { endpoint_a: a.to_owned(), endpoint_b: b.to_owned(), ..api::Link::default() }
    }

    /// A link between gateways of clusters a and c.
    fn between(gateway_a: &str, gateway_b: &str) -> api::Link {
        let (gateway_a, gateway_b) = (gateway_a.to_owned(), gateway_b.to_owned());
        api::Link { gateway_a, gateway_b, ..link("a", "c") }
    }

    fn joined(links: Vec<api::Link>) -> api::Slice {
        let mut slice = message(vec![part("a", &[], &[]), part("c", &[], &[])], &[]);
        slice.spec.as_mut().unwrap().links = links;
        slice
    }

    fn part(cluster: &str, nodes: &[&str], links: &[(&str, &str)]) -> api::SliceCluster {
        api::SliceCluster {
            cluster: cluster.to_owned(),
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            links: links.iter().map(|(a, b)| link(a, b)).collect(),
            transit_labels: BTreeMap::new(),
        }
    }

    fn message(clusters: Vec<api::SliceCluster>, links: &[(&str, &str)]) -> api::Slice {
        api::Slice {
            metadata: Some(Metadata { name: "s".to_owned(), ..Metadata::default() }),
            spec: Some(api::SliceSpec {
                clusters,
                links: links.iter().map(|(a, b)| link(a, b)).collect(),
                measurement: None,
            }),
            status: None,
        }
    }

    fn measured(policy: MeasurementPolicy) -> api::Slice {
        let mut slice = message(vec![part("a", &[], &[])], &[]);
        slice.spec.as_mut().unwrap().measurement = Some(policy);
        slice
    }

    fn cluster(nodes: &[(&str, bool)]) -> ClusterSpec {
        let node = |(index, (name, gateway)): (usize, &(&str, bool))| Node {
            name: name.parse().unwrap(),
            underlay: format!("10.0.0.{}", index + 1).parse().unwrap(),
            agent: format!("https://10.0.0.{}:1", index + 1).parse().ok(),
            gateway: gateway.then(|| Gateway {
                agent: "https://g:1".parse().ok(),
                underlay: "10.0.0.1".parse().unwrap(),
            }),
            labels: BTreeMap::new(),
            generation: 1,
        };
        ClusterSpec {
            driver: Driver::Direct("https://c:1".parse().unwrap()),
            nodes: nodes.iter().enumerate().map(node).collect(),
        }
    }

    /// Fields that are wrong with a slice, where cluster a has nodes n1 (gateway), n2 and n3,
    /// cluster b has n1 and is no gateway, and cluster e is empty.
    fn wrong(message: &api::Slice) -> Vec<String> {
        let clusters = BTreeMap::from([
            ("a".parse().unwrap(), cluster(&[("n1", true), ("n2", false), ("n3", false)])),
            ("b".parse().unwrap(), cluster(&[("n1", false)])),
            ("c".parse().unwrap(), cluster(&[("n1", true)])),
            ("d".parse().unwrap(), cluster(&[("n1", true)])),
            ("e".parse().unwrap(), cluster(&[])),
        ]);
        let report = match slice(Some(message)) {
            Ok(described) => slice_references(&described.spec, &clusters).err(),
            Err(report) => Some(report),
        };
        let violations = report.iter().flat_map(Report::violations);
        violations.map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn accepts_good_slices() {
        for message in [
            message(vec![part("a", &[], &[])], &[]),
            message(vec![part("b", &[], &[])], &[]),
            message(vec![part("a", &["n2", "n3"], &[("n2", "n3")])], &[]),
            message(vec![part("a", &["n1"], &[]), part("c", &[], &[])], &[]),
            message(vec![part("a", &[], &[("n1", "n2"), ("n2", "n3")]), part("c", &[], &[])], &[]),
            message(
                vec![part("a", &[], &[]), part("c", &[], &[]), part("d", &[], &[])],
                &[("a", "c"), ("c", "d")],
            ),
            joined(vec![between("n1", "n1"), between("", "n1")]),
            measured(MeasurementPolicy { metrics: vec![1], ..MeasurementPolicy::default() }),
        ] {
            assert!(wrong(&message).is_empty(), "{:?} {:?}", wrong(&message), message.spec);
        }
    }

    #[test]
    fn names_every_field_that_is_wrong() {
        for (message, fields) in [
            (message(vec![], &[]), vec!["slice.spec.clusters"]),
            (message(vec![part("A", &[], &[])], &[]), vec!["slice.spec.clusters[0].cluster"]),
            (message(vec![part("x", &[], &[])], &[]), vec!["slice.spec.clusters[0].cluster"]),
            (message(vec![part("e", &[], &[])], &[]), vec!["slice.spec.clusters[0].cluster"]),
            (
                message(vec![part("a", &[], &[]), part("a", &[], &[])], &[]),
                vec!["slice.spec.clusters[1].cluster"],
            ),
            (message(vec![part("a", &["n9"], &[])], &[]), vec!["slice.spec.clusters[0].nodes[0]"]),
            (
                message(vec![part("a", &["n1", "n1"], &[])], &[]),
                vec!["slice.spec.clusters[0].nodes[1]"],
            ),
            (
                message(vec![part("a", &["n1", "n2"], &[("n1", "n3")])], &[]),
                vec!["slice.spec.clusters[0].links[0].endpoint_b"],
            ),
            (
                message(vec![part("a", &[], &[("n1", "n2")])], &[]),
                vec!["slice.spec.clusters[0].links"],
            ),
            (
                message(vec![part("a", &["n2"], &[]), part("c", &[], &[])], &[]),
                vec!["slice.spec.clusters[0].nodes"],
            ),
            (
                message(vec![part("a", &[], &[]), part("b", &[], &[])], &[]),
                vec!["slice.spec.clusters[1].nodes"],
            ),
            (
                message(vec![part("a", &[], &[])], &[("a", "x")]),
                vec!["slice.spec.links[0].endpoint_b"],
            ),
            (message(vec![part("a", &[], &[])], &[("a", "a")]), vec!["slice.spec.links[0]"]),
            (
                measured(MeasurementPolicy { probes: 1, ..MeasurementPolicy::default() }),
                vec!["slice.spec.measurement.metrics", "slice.spec.measurement.probes"],
            ),
            (joined(vec![between("n2", "n1")]), vec!["slice.spec.links[0].gateway_a"]),
            (joined(vec![between("n1", "n9")]), vec!["slice.spec.links[0].gateway_b"]),
            (joined(vec![between("n1", ""), between("n1", "")]), vec!["slice.spec.links[1]"]),
            (
                message(
                    vec![part("a", &[], &[]), part("c", &[], &[]), part("d", &[], &[])],
                    &[("a", "c")],
                ),
                vec!["slice.spec.links"],
            ),
        ] {
            assert_eq!(wrong(&message), fields, "{:?}", message.spec);
        }
        assert!(slice(None).is_err());
    }

    #[test]
    fn a_cluster_in_use_keeps_what_its_slices_need() {
        let serves = |clusters: Vec<api::SliceCluster>, nodes: &[(&str, bool)]| {
            let spec = slice(Some(&message(clusters, &[]))).unwrap().spec;
            cluster_still_serves(&spec, &"a".parse().unwrap(), &cluster(nodes)).is_ok()
        };
        let two = || vec![part("a", &["n1"], &[]), part("c", &[], &[])];
        assert!(serves(two(), &[("n1", true), ("n2", false)]));
        assert!(!serves(two(), &[("n1", false), ("n2", true)]));
        assert!(!serves(two(), &[("n2", true)]));
        let linked = || vec![part("a", &[], &[("n1", "n2")])];
        assert!(serves(linked(), &[("n1", false), ("n2", false), ("n3", false)]));
        assert!(!serves(linked(), &[("n1", false), ("n3", false)]));
        assert!(!serves(vec![part("a", &[], &[])], &[]));
        let spec = slice(Some(&joined(vec![between("n1", "")]))).unwrap().spec;
        let keeps = |nodes: &[(&str, bool)]| {
            cluster_still_serves(&spec, &"a".parse().unwrap(), &cluster(nodes)).is_ok()
        };
        assert!(keeps(&[("n1", true)]));
        assert!(!keeps(&[("n1", false), ("n2", true)]));
        assert!(!keeps(&[("n2", true)]));
    }
}
