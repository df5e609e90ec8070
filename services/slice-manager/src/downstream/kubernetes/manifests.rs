//! Custom resources as they should be.

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
};
use kube::Resource;
use l2sces_custom_resources::{
    L2Network, L2NetworkSpec, Link, LinkMetric, MANAGED_BY_LABEL, MeasurementPolicy, Neighbor,
    NetworkEdgeDevice, NetworkEdgeDeviceSpec, NetworkType, NodeConfig, Overlay, OverlaySpec,
    Provider, SLICE_LABEL, SLICE_MANAGER, Topology,
};
use l2sces_proto::{
    fabric::v1 as fabric,
    measurement::v1::{self as measurement, LinkMetric as Metric},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::downstream::{ObjectKey, SlicePart};

/// The uid of the slice or network that a resource was made of.
const UID: &str = "l2sces.l2sm.io/uid";
/// The generation of what it was made of.
const GENERATION: &str = "l2sces.l2sm.io/generation";
/// How many resources were made of the same, so that one that is lost is missed.
const PARTS: &str = "l2sces.l2sm.io/parts";

/// What L2S-M makes in advance, and its default.
const INTERFACE_NUMBER: i32 = 10;

/// A kind of custom resource.
pub(super) trait Custom:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// What is wanted, comparable.
    type Specification: PartialEq;

    /// What is wanted.
    fn specification(&self) -> &Self::Specification;

    /// What is said of it.
    fn conditions(&self) -> &[Condition];

    /// The object that it was made of; nothing: it is not the slice-manager's.
    fn object(&self) -> Option<ObjectKey>;

    /// How many pods are attached to it; nothing: it is no network, or nobody has said so yet.
    fn attached_pods(&self) -> Option<u32>;
}

macro_rules! custom {
    ($kind:ty, $spec:ty, $object:expr, $pods:expr) => {
        impl Custom for $kind {
            type Specification = $spec;

            fn specification(&self) -> &$spec {
                &self.spec
            }

            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map_or(&[], |status| &status.conditions)
            }

            fn object(&self) -> Option<ObjectKey> {
                $object(self)
            }

            fn attached_pods(&self) -> Option<u32> {
                $pods(self)
            }
        }
    };
}

custom!(Overlay, OverlaySpec, slice_object, no_pods);
custom!(NetworkEdgeDevice, NetworkEdgeDeviceSpec, slice_object, no_pods);
custom!(L2Network, L2NetworkSpec, network_object, network_pods);

fn slice_object<K: Resource>(resource: &K) -> Option<ObjectKey> {
    Some(ObjectKey::Slice(slice_of(resource)?.parse().ok()?))
}

fn network_object(resource: &L2Network) -> Option<ObjectKey> {
    let name = resource.meta().name.as_ref()?.parse().ok()?;
    Some(ObjectKey::Network { slice: slice_of(resource)?.parse().ok()?, name })
}

fn no_pods<K>(_: &K) -> Option<u32> {
    None
}

fn network_pods(network: &L2Network) -> Option<u32> {
    u32::try_from(network.status.as_ref()?.connected_pod_count).ok()
}

/// The slice that the slice-manager has made a resource for; nothing: it has not made it.
pub(super) fn slice_of<K: Resource>(resource: &K) -> Option<&str> {
    let labels = resource.meta().labels.as_ref()?;
    let is_own = labels.get(MANAGED_BY_LABEL).is_some_and(|manager| manager == SLICE_MANAGER);
    is_own.then_some(labels.get(SLICE_LABEL)?.as_str())
}

/// Whether the slice-manager has made a resource for this slice.
pub(super) fn is_of<K: Resource>(resource: &K, slice: &str) -> bool {
    slice_of(resource) == Some(slice)
}

/// What selects the slice-manager's resources, of one slice or of all.
pub(super) fn selector(slice: Option<&str>) -> String {
    let own = format!("{MANAGED_BY_LABEL}={SLICE_MANAGER}");
    slice.map_or_else(|| own.clone(), |slice| format!("{own},{SLICE_LABEL}={slice}"))
}

/// The version that a resource was made for: uid, generation, and how many were made of the same.
pub(super) fn version<K: Resource>(resource: &K) -> Option<(&str, i64, usize)> {
    let annotations = resource.meta().annotations.as_ref()?;
    let generation = annotations.get(GENERATION)?.parse().ok()?;
    Some((annotations.get(UID)?, generation, annotations.get(PARTS)?.parse().ok()?))
}

fn metadata(
    name: String,
    slice: &str,
    version: Option<&fabric::Version>,
    parts: usize,
) -> ObjectMeta {
    let version = version.cloned().unwrap_or_default();
    let own = |pairs: [(&str, String); 2]| {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>()
    };
    let mut annotations = own([(UID, version.uid), (GENERATION, version.generation.to_string())]);
    annotations.insert(PARTS.to_owned(), parts.to_string());
    ObjectMeta {
        name: Some(name),
        labels: Some(own([
            (MANAGED_BY_LABEL, SLICE_MANAGER.to_owned()),
            (SLICE_LABEL, slice.to_owned()),
        ])),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

/// The network in its cluster.
pub(super) fn network(network: &fabric::Network) -> L2Network {
    let spec = L2NetworkSpec {
        network_type: NetworkType::Vnet,
        config: None,
        provider: Some(Provider::named(&network.slice)),
        network_cidr: Some(network.cidr.clone()).filter(|cidr| !cidr.is_empty()),
        pod_address_range: None,
        ids: None,
    };
    let metadata = metadata(network.name.clone(), &network.slice, network.version.as_ref(), 1);
    L2Network { metadata, ..L2Network::new("", spec) }
}

/// The nodes of a slice in a cluster, and their links.
pub(super) fn overlay(part: &SlicePart) -> Overlay {
    let within = &part.within;
    let link = |link: &fabric::NodeLink| Link {
        endpoint_a: link.node_a.clone(),
        endpoint_b: link.node_b.clone(),
        cost: i32::try_from(link.cost).ok().filter(|cost| *cost > 1),
    };
    let spec = OverlaySpec {
        provider: Provider::named(&within.name),
        topology: Some(Topology {
            nodes: within.nodes.clone(),
            links: within.links.iter().map(link).collect(),
            avoid_transit: within.avoid_transit.clone(),
        }),
        // Whom else the cluster's administrators let in is theirs to say.
        network_namespaces: None,
        switch_template: None,
        interface_number: INTERFACE_NUMBER,
        monitor: None,
        measurement: within.measurement.as_ref().map(policy),
    };
    Overlay { metadata: slice_metadata(part, within.name.clone()), ..Overlay::new("", spec) }
}

/// The gateways of a slice in a cluster.
pub(super) fn gateways(part: &SlicePart) -> Vec<NetworkEdgeDevice> {
    let within = &part.within;
    let neighbors: Vec<_> = part
        .neighbors
        .iter()
        .map(|neighbor| Neighbor {
            node: neighbor.cluster.clone(),
            domain: neighbor.address.clone(),
            lpm_ip: None,
        })
        .collect();
    let gateway = |(index, gateway): (usize, &crate::downstream::GatewayPlace)| {
        let name = match index {
            0 => format!("{}-ned", within.name),
            _ => format!("{}-{}-ned", within.name, gateway.node),
        };
        let spec = NetworkEdgeDeviceSpec {
            provider: Provider::named(&within.name),
            node_config: Some(NodeConfig {
                node_name: gateway.node.clone(),
                ip_address: gateway.address.clone(),
            }),
            neighbors: neighbors.clone(),
            switch_template: None,
            monitor: None,
            measurement: within.measurement.as_ref().map(policy),
        };
        let metadata = slice_metadata(part, name);
        NetworkEdgeDevice { metadata, ..NetworkEdgeDevice::new("", spec) }
    };
    part.gateways.iter().enumerate().map(gateway).collect()
}

fn slice_metadata(part: &SlicePart, name: String) -> ObjectMeta {
    let within = &part.within;
    metadata(name, &within.name, within.version.as_ref(), 1 + part.gateways.len())
}

fn policy(policy: &measurement::MeasurementPolicy) -> MeasurementPolicy {
    let metric = |metric| match metric {
        Metric::RoundTripTime => Some(LinkMetric::Rtt),
        Metric::Jitter => Some(LinkMetric::Jitter),
        Metric::Loss => Some(LinkMetric::Loss),
        Metric::Throughput => Some(LinkMetric::Throughput),
        Metric::Unspecified => None,
    };
    let given = |number: u32| i32::try_from(number).ok().filter(|number| *number > 0);
    MeasurementPolicy {
        metrics: policy.metrics().filter_map(metric).collect(),
        interval_milliseconds: given(policy.interval_ms),
        probes: given(policy.probes),
        max_share_permille: given(policy.max_share_permille),
    }
}
