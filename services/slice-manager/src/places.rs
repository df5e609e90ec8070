//! Which objects of which services a resource is made of.

use crate::{
    domain::{Cluster, Driver, Key, Network, Slice, SliceSpec, Stored},
    downstream::{ObjectKey, Target},
    store::Placement,
};

/// A node in its cluster's controller for each node, a gateway in the sco-provider for each gateway.
/// Those of a Kubernetes cluster are its operator's.
pub fn of_cluster(cluster: &Stored<Cluster>) -> Vec<Placement> {
    if matches!(cluster.spec.driver, Driver::Kubernetes(_)) {
        return Vec::new();
    }
    let name = cluster.meta.key.name();
    let target = Target::Cluster(name.clone());
    let nodes = cluster.spec.nodes.iter();
    let nodes = nodes.map(|node| place(&target, &ObjectKey::Node(node.name.clone())));
    let gateways = cluster.spec.nodes.iter().filter(|node| node.gateway.is_some()).map(|node| {
        let (cluster, node) = (name.clone(), node.name.clone());
        place(&Target::Sco, &ObjectKey::Gateway { cluster, node })
    });
    nodes.chain(gateways).collect()
}

/// A slice in the sco-provider, and one in the controller of each of its clusters.
pub fn of_slice(slice: &Stored<Slice>) -> Vec<Placement> {
    let object = ObjectKey::Slice(slice.meta.key.name().clone());
    let clusters = slice.spec.clusters.iter();
    let targets = clusters.map(|part| Target::Cluster(part.cluster.clone()));
    targets.chain([Target::Sco]).map(|target| place(&target, &object)).collect()
}

/// A network in the sco-provider, and one in the controller of each cluster that it spans.
pub fn of_network(network: &Stored<Network>, slice: &SliceSpec) -> Vec<Placement> {
    let Key::Network { slice: slice_name, name } = &network.meta.key else { return Vec::new() };
    let object = ObjectKey::Network { slice: slice_name.clone(), name: name.clone() };
    let clusters = network.spec.spanned(slice).into_iter();
    let targets = clusters.map(|cluster| Target::Cluster(cluster.clone()));
    targets.chain([Target::Sco]).map(|target| place(&target, &object)).collect()
}

/// The slice that a network or port lies in.
pub fn slice_of(key: &Key) -> Option<Key> {
    match key {
        Key::Cluster(_) | Key::Slice(_) => None,
        Key::Network { slice, .. } | Key::Port { slice, .. } => Some(Key::Slice(slice.clone())),
    }
}

/// The network that a port lies in.
pub fn network_of(key: &Key) -> Option<Key> {
    match key {
        Key::Cluster(_) | Key::Slice(_) | Key::Network { .. } => None,
        Key::Port { slice, network, .. } => {
            Some(Key::Network { slice: slice.clone(), name: network.clone() })
        }
    }
}

fn place(target: &Target, object: &ObjectKey) -> Placement {
    Placement { target: target.to_string(), object: object.to_string() }
}
