//! What is planned in the words of the slice-manager.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use l2sces_kubernetes::Problem;
use l2sces_model::Name;
use l2sces_proto::slice::v1::{self as api, cluster_spec::Driver};

use crate::plan::{PlannedCluster, PlannedLink, PlannedNetwork, PlannedSlice};

/// The clusters that the slice-manager knows.
type Clusters = BTreeMap<Name, api::Cluster>;

/// The specification of a slice, and the fields of its resource that are not carried out.
///
/// # Errors
/// The slice-manager does not know one of the clusters.
pub(crate) fn slice_spec(
    planned: &PlannedSlice,
    clusters: &Clusters,
) -> Result<(api::SliceSpec, Vec<String>), Problem> {
    let mut gateways = BTreeMap::new();
    let mut ignored = Vec::new();
    for (index, wanted) in planned.clusters.iter().enumerate() {
        let cluster = clusters.get(&wanted.name).ok_or_else(|| not_registered(&wanted.name))?;
        let (node, uses_address) = gateway(wanted, cluster);
        if !uses_address {
            let why = format!("where gateways of {} are, its registration says", wanted.name);
            ignored.push(format!("spec.topology.nodes[{index}].gateway.ipAddress ({why})"));
        }
        gateways.extend(node.map(|node| (wanted.name.clone(), node)));
    }
    let end = |cluster: &Name| gateways.get(cluster).map(ToString::to_string).unwrap_or_default();
    let link = |link: PlannedLink| api::Link {
        gateway_a: end(&link.a),
        gateway_b: end(&link.b),
        endpoint_a: link.a.to_string(),
        endpoint_b: link.b.to_string(),
        cost: link.cost,
    };
    let links = if planned.links.is_empty() && !gateways.is_empty() {
        // Said in full, because only a link can say which gateways it is between.
        mesh(&planned.clusters.iter().map(|cluster| &cluster.name).collect::<Vec<_>>())
    } else {
        planned.links.clone()
    };
    let parts = planned.clusters.iter().map(|cluster| api::SliceCluster {
        cluster: cluster.name.to_string(),
        ..api::SliceCluster::default()
    });
    let spec = api::SliceSpec {
        clusters: parts.collect(),
        links: links.into_iter().map(link).collect(),
        measurement: planned.measurement.clone(),
    };
    Ok((spec, ignored))
}

/// The specification of a network in a slice.
///
/// # Errors
/// One of its clusters is not in the slice.
pub(crate) fn network_spec(
    planned: &PlannedNetwork,
    slice: &api::Slice,
    clusters: &Clusters,
) -> Result<api::NetworkSpec, Problem> {
    let in_slice = clusters_of(slice);
    for name in &planned.clusters {
        if !clusters.contains_key(name) {
            return Err(not_registered(name));
        }
        if !in_slice.contains(name.as_str()) {
            let slice = slice.metadata.clone().unwrap_or_default().name;
            let message = format!("cluster {name} is not in slice {slice}");
            return Err(Problem::new("ClusterNotInSlice", message));
        }
    }
    Ok(api::NetworkSpec {
        clusters: planned.clusters.iter().map(ToString::to_string).collect(),
        r#type: api::NetworkType::Vnet.into(),
        cidr: planned.cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
    })
}

/// The names of a slice's clusters.
pub(crate) fn clusters_of(slice: &api::Slice) -> BTreeSet<&str> {
    let clusters = slice.spec.iter().flat_map(|spec| &spec.clusters);
    clusters.map(|part| part.cluster.as_str()).collect()
}

/// How many switches of a slice are ready; nothing: of one of its clusters it is not known. A cluster of
/// Kubernetes does not tell of its nodes, but all are ready when the slice is.
pub(crate) fn deployed_switches(
    slice: &api::Slice,
    clusters: &Clusters,
    is_ready: bool,
) -> Option<i32> {
    let mut count = 0;
    for name in clusters_of(slice) {
        let cluster = clusters.get(&name.parse::<Name>().ok()?)?;
        let spec = cluster.spec.as_ref()?;
        count += match spec.driver {
            Some(Driver::Kubernetes(_)) if is_ready => spec.nodes.len(),
            Some(Driver::Kubernetes(_)) | None => return None,
            Some(Driver::Direct(_)) => {
                let nodes = cluster.status.iter().flat_map(|status| &status.nodes);
                nodes.filter(|node| node.ready).count()
            }
        };
    }
    i32::try_from(count).ok()
}

fn not_registered(cluster: &Name) -> Problem {
    let message = format!("cluster {cluster} is not registered with the slice-manager");
    Problem::new("UnknownCluster", message)
}

/// The node that the links of a cluster end on, if they do not end on every gateway; and whether the
/// address that is given is the one where that is.
fn gateway(wanted: &PlannedCluster, cluster: &api::Cluster) -> (Option<Name>, bool) {
    let Some(gateway) = &wanted.gateway else { return (None, true) };
    let named = gateway.node_name.as_deref().map(Name::standing_for);
    let Some(address) = &gateway.ip_address else { return (named, true) };
    let at = address.parse().ok().and_then(|address| gateway_at(cluster, address));
    let uses_address = at.is_some() && (named.is_none() || named == at);
    (named.or(at), uses_address)
}

/// The gateway of a cluster with an address.
fn gateway_at(cluster: &api::Cluster, address: IpAddr) -> Option<Name> {
    let mut nodes = cluster.spec.iter().flat_map(|spec| &spec.nodes);
    let node = nodes.find(|node| {
        let own = node.gateway.as_ref().and_then(|gateway| gateway.underlay_address.parse().ok());
        own == Some(address)
    })?;
    node.name.parse().ok()
}

/// A link between any two.
fn mesh(clusters: &[&Name]) -> Vec<PlannedLink> {
    let pairs = clusters.iter().enumerate().flat_map(|(index, a)| {
        clusters[index + 1..].iter().map(move |b| PlannedLink {
            a: (*a).clone(),
            b: (*b).clone(),
            cost: 0,
        })
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use l2sces_custom_resources::SliceGateway;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Clusters a, b and c of the nodes n1 and n2, gateways at 192.0.2.1 and 192.0.2.2, all ready.
    fn clusters() -> Clusters {
        let node = |number: u8| api::Node {
            name: format!("n{number}"),
            gateway: Some(api::Gateway {
                underlay_address: format!("192.0.2.{number}"),
                ..api::Gateway::default()
            }),
            ..api::Node::default()
        };
        let status = |number: u8| api::NodeStatus {
            node: format!("n{number}"),
            ready: true,
            message: String::new(),
        };
        let cluster = || api::Cluster {
            metadata: None,
            spec: Some(api::ClusterSpec {
                driver: Some(Driver::Direct(api::DirectDriver::default())),
                nodes: vec![node(1), node(2)],
            }),
            status: Some(api::ClusterStatus {
                conditions: Vec::new(),
                nodes: vec![status(1), status(2)],
            }),
        };
        ["a", "b", "c"].into_iter().map(|text| (name(text), cluster())).collect()
    }

    fn gateway(node: Option<&str>, address: Option<&str>) -> Option<SliceGateway> {
        Some(SliceGateway {
            node_name: node.map(str::to_owned),
            ip_address: address.map(str::to_owned),
        })
    }

    fn planned(gateways: &[(&str, Option<SliceGateway>)]) -> PlannedSlice {
        let cluster = |(text, gateway): &(&str, Option<SliceGateway>)| PlannedCluster {
            name: name(text),
            gateway: gateway.clone(),
        };
        PlannedSlice { clusters: gateways.iter().map(cluster).collect(), ..PlannedSlice::default() }
    }

    fn ends(spec: &api::SliceSpec) -> Vec<(&str, &str, &str, &str)> {
        spec.links
            .iter()
            .map(|link| {
                let (a, b) = (&*link.endpoint_a, &*link.endpoint_b);
                (a, &*link.gateway_a, b, &*link.gateway_b)
            })
            .collect()
    }

    #[test]
    fn without_gateways_a_mesh_stays_a_mesh() {
        let planned = planned(&[("a", None), ("b", None), ("c", None)]);
        let (spec, ignored) = slice_spec(&planned, &clusters()).unwrap();
        assert!(spec.links.is_empty() && ignored.is_empty());
        assert_eq!(spec.clusters.len(), 3);
    }

    #[test]
    fn gateways_are_chosen_by_name_or_by_address_and_links_end_there() {
        let planned = planned(&[
            ("a", gateway(Some("n2"), None)),
            ("b", gateway(None, Some("192.0.2.1"))),
            ("c", None),
        ]);
        let (spec, ignored) = slice_spec(&planned, &clusters()).unwrap();
        let expected = [("a", "n2", "b", "n1"), ("a", "n2", "c", ""), ("b", "n1", "c", "")];
        assert_eq!(ends(&spec), expected);
        assert_eq!(ignored, [""; 0]);
    }

    #[test]
    fn an_address_that_is_no_gateways_is_not_used_and_that_is_said() {
        for gateway in [
            gateway(None, Some("198.51.100.1")),
            gateway(Some("n2"), Some("192.0.2.1")),
            gateway(None, Some("gateway.example")),
        ] {
            let planned = planned(&[("a", gateway.clone()), ("b", None)]);
            let (spec, ignored) = slice_spec(&planned, &clusters()).unwrap();
            assert_eq!(ignored.len(), 1, "{gateway:?}");
            assert!(ignored[0].starts_with("spec.topology.nodes[0].gateway.ipAddress"));
            let node = gateway.and_then(|gateway| gateway.node_name);
            let link = node.as_deref().map(|node| ("a", node, "b", ""));
            assert_eq!(ends(&spec), link.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn clusters_must_be_known_and_those_of_networks_in_the_slice() {
        let strange = planned(&[("a", None), ("x", None)]);
        assert_eq!(slice_spec(&strange, &clusters()).unwrap_err().reason, "UnknownCluster");
        let (spec, _) = slice_spec(&planned(&[("a", None), ("b", None)]), &clusters()).unwrap();
        let slice = api::Slice { spec: Some(spec), ..api::Slice::default() };
        let reason = |names: &[&str]| {
            let clusters_of_network = names.iter().map(|text| name(text)).collect();
            let planned = PlannedNetwork { clusters: clusters_of_network, cidr: None };
            network_spec(&planned, &slice, &clusters()).err().map(|problem| problem.reason)
        };
        assert_eq!(reason(&["a"]), None);
        assert_eq!(reason(&["a", "c"]), Some("ClusterNotInSlice"));
        assert_eq!(reason(&["a", "x"]), Some("UnknownCluster"));
    }

    #[test]
    fn switches_are_counted_where_they_are_told_of_or_follow() {
        let (spec, _) = slice_spec(&planned(&[("a", None), ("b", None)]), &clusters()).unwrap();
        let slice = api::Slice { spec: Some(spec), ..api::Slice::default() };
        let mut clusters = clusters();
        assert_eq!(deployed_switches(&slice, &clusters, false), Some(4));
        let b = clusters.get_mut(&name("b")).unwrap();
        b.status = None;
        b.spec.as_mut().unwrap().driver =
            Some(Driver::Kubernetes(api::KubernetesDriver::default()));
        assert_eq!(deployed_switches(&slice, &clusters, false), None);
        assert_eq!(deployed_switches(&slice, &clusters, true), Some(4));
        clusters.remove(&name("b"));
        assert_eq!(deployed_switches(&slice, &clusters, true), None);
    }
}
