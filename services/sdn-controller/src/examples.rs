//! Nodes, slices, networks and ports for tests.

use std::collections::BTreeSet;

use l2sces_model::Name;

use crate::{
    domain::{
        Attachment, Link, Links, NetworkKey, NetworkSpec, NodeSpec, PortKey, PortSpec, SliceSpec,
        Version,
    },
    fabric::datapath_id,
    store::{PortApplied, PortStored, Store, StoreError},
};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn version(uid: &str, generation: i64) -> Version {
    Version { uid: uid.to_owned(), generation }
}

pub(crate) fn node(node: &str) -> NodeSpec {
    let number: u8 = node.trim_start_matches('n').parse().unwrap();
    NodeSpec {
        name: name(node),
        version: version(node, 1),
        underlay_address: [10, 0, 0, number].into(),
        agent_endpoint: format!("http://{node}:50053"),
        gateway: false,
    }
}

pub(crate) fn slice(slice: &str, nodes: &[&str]) -> SliceSpec {
    SliceSpec {
        name: name(slice),
        version: version(slice, 1),
        nodes: nodes.iter().map(|node| name(node)).collect(),
        links: Links::FullMesh,
        avoid_transit: BTreeSet::new(),
        measurement: None,
    }
}

pub(crate) fn network_key(network: &str) -> NetworkKey {
    NetworkKey { slice: name("s1"), name: name(network) }
}

pub(crate) fn link(a: &str, b: &str, cost: u16) -> Link {
    Link { a: name(a), b: name(b), cost }
}

/// Network of slice s1.
pub(crate) fn network(network: &str, vni: u32, cidr: &str) -> NetworkSpec {
    NetworkSpec {
        key: network_key(network),
        version: version(network, 1),
        vni: vni.try_into().unwrap(),
        cidr: (!cidr.is_empty()).then(|| cidr.parse().unwrap()),
        mtu: 1438,
    }
}

/// Port in a namespace of node n1.
pub(crate) fn port(network: &str, port: &str) -> PortSpec {
    let key = PortKey { slice: name("s1"), network: name(network), name: name(port) };
    PortSpec {
        version: version(&key.to_string(), 1),
        node: name("n1"),
        attachment: Attachment::Namespace {
            path: format!("/run/netns/{port}"),
            interface_name: "net1".parse().unwrap(),
            id: String::new(),
        },
        mac: None,
        address: None,
        prefix_len: None,
        alias: None,
        max_learned: 0,
        key,
    }
}

/// Stores a node of cluster "a".
pub(crate) async fn put_node(store: &Store, spec: &NodeSpec) {
    store.apply_node(spec, datapath_id(&name("a"), &spec.name)).await.unwrap();
}

/// Stores nodes n1 and n2, slice s1 of both, and network blue with VNI 1 and a whole block.
pub(crate) async fn put_network(store: &Store) {
    put_node(store, &node("n1")).await;
    put_node(store, &node("n2")).await;
    store.apply_slice(&slice("s1", &["n1", "n2"])).await.unwrap();
    store.apply_network(&network("blue", 1, "10.1.0.0/24")).await.unwrap();
    store.add_block(&network_key("blue"), "10.1.0.0/24".parse().unwrap(), 0).await.unwrap();
}

/// Stores a port for which there is an address.
pub(crate) async fn put_port(store: &Store, spec: &PortSpec) -> Result<PortStored, StoreError> {
    match store.apply_port(spec).await? {
        PortApplied::Stored(stored) => Ok(*stored),
        PortApplied::NeedsBlock(need) => panic!("no address left: {need:?}"),
    }
}
