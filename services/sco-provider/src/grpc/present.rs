//! From domain objects to messages.

use std::collections::BTreeSet;

use l2sces_model::{Name, Vni};
use l2sces_proto::{resource::v1::ChangeKind, sco::v1 as proto};

use crate::{
    domain::{Endpoint, EndpointKey, GatewayKey, Identity, NetworkKey, ObjectKey, Version},
    exchange::{ClusterChange, Crossing, Item, ItemKey, Notice},
    status::{ObjectState, Problem},
};

pub(super) fn gateway_key(key: &GatewayKey) -> proto::GatewayKey {
    proto::GatewayKey { cluster: key.cluster.to_string(), node: key.node.to_string() }
}

fn network_key(key: &NetworkKey) -> proto::NetworkKey {
    proto::NetworkKey { slice: key.slice.to_string(), name: key.name.to_string() }
}

fn endpoint_key(key: &EndpointKey) -> proto::EndpointKey {
    proto::EndpointKey {
        slice: key.network.slice.to_string(),
        network: key.network.name.to_string(),
        cluster: key.cluster.to_string(),
        port: key.port.to_string(),
        learned_mac: key.learned.map(|mac| mac.to_string()).unwrap_or_default(),
    }
}

fn object_key(key: &ObjectKey) -> proto::ObjectKey {
    use proto::object_key::Key;
    let key = match key {
        ObjectKey::Gateway(key) => Key::Gateway(gateway_key(key)),
        ObjectKey::Slice(name) => Key::Slice(name.to_string()),
        ObjectKey::Network(key) => Key::Network(network_key(key)),
    };
    proto::ObjectKey { key: Some(key) }
}

fn version(version: &Version) -> proto::Version {
    proto::Version { uid: version.uid.clone(), generation: version.generation }
}

pub(super) fn identity(identity: Identity) -> proto::NetworkIdentity {
    proto::NetworkIdentity { vni: identity.vni.get(), mtu: identity.mtu }
}

pub(super) fn object_state(key: &ObjectKey, state: &ObjectState) -> proto::ObjectState {
    let (reason, message) = match &state.problem {
        Some(Problem { reason, message }) => ((*reason).to_owned(), message.clone()),
        None => Default::default(),
    };
    proto::ObjectState {
        key: Some(object_key(key)),
        version: Some(version(&state.version)),
        ready: state.problem.is_none(),
        reason,
        message,
        network: state.identity.map(identity),
    }
}

/// The state of an object, as an answer to a member's description of its part.
pub(super) fn member_state(state: proto::ObjectState, member: &Version) -> proto::ObjectState {
    proto::ObjectState { version: Some(version(member)), ..state }
}

pub(super) fn state_put(key: &ObjectKey, state: &ObjectState) -> proto::WatchResponse {
    proto::WatchResponse {
        kind: ChangeKind::Put.into(),
        state: Some(object_state(key, state)),
        ..proto::WatchResponse::default()
    }
}

pub(super) fn state_deleted(key: &ObjectKey, state: &ObjectState) -> proto::WatchResponse {
    let state = proto::ObjectState {
        key: Some(object_key(key)),
        version: Some(version(&state.version)),
        ..proto::ObjectState::default()
    };
    proto::WatchResponse {
        kind: ChangeKind::Deleted.into(),
        state: Some(state),
        ..proto::WatchResponse::default()
    }
}

pub(super) fn states_synced() -> proto::WatchResponse {
    proto::WatchResponse { kind: ChangeKind::Synced.into(), ..proto::WatchResponse::default() }
}

fn endpoint(endpoint: &Endpoint) -> proto::Endpoint {
    proto::Endpoint {
        key: Some(endpoint_key(&endpoint.key)),
        mac: endpoint.mac.to_string(),
        address: endpoint.address.map(|address| address.to_string()).unwrap_or_default(),
        alias: endpoint.alias.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

pub(super) fn cluster_put(key: &ItemKey, notice: &Notice) -> proto::WatchClusterResponse {
    use proto::watch_cluster_response::Change;
    let change = match &notice.item {
        Item::Handoff { vni, current, other } => {
            let network = match key {
                ItemKey::Handoff { network, .. } => network,
                ItemKey::Endpoint(key) => &key.network,
            };
            Change::Handoff(handoff(network, *vni, current, other.as_ref()))
        }
        Item::Endpoint { endpoint: remote, vni } => Change::Endpoint(proto::RemoteEndpoint {
            endpoint: Some(endpoint(remote)),
            vni: vni.get(),
        }),
    };
    proto::WatchClusterResponse {
        kind: ChangeKind::Put.into(),
        change: Some(change),
        ..proto::WatchClusterResponse::default()
    }
}

/// A handoff as the cluster is told of it, while its network has two plans.
pub(super) fn unsettled_handoff(network: &NetworkKey, notice: &Notice) -> Option<proto::Handoff> {
    match &notice.item {
        Item::Handoff { vni, current, other: Some(other) } => {
            Some(handoff(network, *vni, current, Some(other)))
        }
        _ => None,
    }
}

fn handoff(
    network: &NetworkKey,
    vni: Vni,
    current: &Crossing,
    other: Option<&Crossing>,
) -> proto::Handoff {
    proto::Handoff {
        network: Some(network_key(network)),
        vni: vni.get(),
        epoch: current.epoch.get().into(),
        gates: gates(current),
        other: other
            .map(|other| proto::Crossing { epoch: other.epoch.get().into(), gates: gates(other) }),
    }
}

fn gates(crossing: &Crossing) -> Vec<proto::Gate> {
    let gate = |(node, clusters): (&Name, &BTreeSet<Name>)| proto::Gate {
        node: node.to_string(),
        clusters: clusters.iter().map(ToString::to_string).collect(),
    };
    crossing.gates.iter().map(gate).collect()
}

fn cluster_deleted(key: &ItemKey) -> proto::WatchClusterResponse {
    use proto::watch_cluster_response::Change;
    let change = match key {
        ItemKey::Handoff { network, .. } => Change::Handoff(proto::Handoff {
            network: Some(network_key(network)),
            ..proto::Handoff::default()
        }),
        ItemKey::Endpoint(key) => Change::Endpoint(proto::RemoteEndpoint {
            endpoint: Some(proto::Endpoint {
                key: Some(endpoint_key(key)),
                ..proto::Endpoint::default()
            }),
            ..proto::RemoteEndpoint::default()
        }),
    };
    proto::WatchClusterResponse {
        kind: ChangeKind::Deleted.into(),
        change: Some(change),
        ..proto::WatchClusterResponse::default()
    }
}

pub(super) fn cluster_change(change: &ClusterChange) -> proto::WatchClusterResponse {
    match change {
        ClusterChange::Put(key, notice) => cluster_put(key, notice),
        ClusterChange::Deleted(key) => cluster_deleted(key),
    }
}

pub(super) fn cluster_synced() -> proto::WatchClusterResponse {
    proto::WatchClusterResponse {
        kind: ChangeKind::Synced.into(),
        ..proto::WatchClusterResponse::default()
    }
}
