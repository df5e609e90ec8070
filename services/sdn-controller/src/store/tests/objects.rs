use l2sces_model::Name;

use crate::{
    domain::{Attachment, Key, Link, Links, SliceSpec},
    examples::{
        link, name, network, network_key, node, port, put_network, put_node, put_port, slice,
        version,
    },
    fabric::datapath_id,
    store::{PortCondition, Store, StoreError, slice::SliceStored, test_database::TestDatabase},
};

#[tokio::test]
async fn an_older_generation_is_ignored_and_another_uid_replaces() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let mut spec = node("n1");
    spec.version = version("u", 2);
    put_node(&store, &spec).await;
    let mut older = spec.clone();
    older.version.generation = 1;
    older.gateway = true;
    let id = datapath_id(&name("a"), &spec.name);
    assert_eq!(store.apply_node(&older, id).await.unwrap().spec, spec);
    let mut other = older;
    other.version = version("v", 1);
    let stored = store.apply_node(&other, id).await.unwrap();
    assert_eq!((stored.spec, stored.ordinal), (other, 1));
}

#[tokio::test]
async fn what_is_being_deleted_is_neither_changed_nor_replaced() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    let spec = port("blue", "p");
    put_port(&store, &spec).await.unwrap();
    assert!(store.mark_port(&spec.key, &PortCondition::default()).await.unwrap().unwrap().deleting);
    // The same again says nothing new.
    assert!(put_port(&store, &spec).await.unwrap().port.deleting);
    for version in [version(&spec.version.uid, 2), version("new", 1)] {
        let mut changed = spec.clone();
        changed.version = version;
        let error = put_port(&store, &changed).await.unwrap_err();
        assert!(matches!(error, StoreError::BeingDeleted { .. }), "{error}");
    }
    store.remove_port(&spec.key).await.unwrap();
    assert!(!put_port(&store, &spec).await.unwrap().port.deleting);
    // Only what was marked can be removed.
    store.remove_port(&spec.key).await.unwrap();
    assert!(store.port(&spec.key).await.unwrap().is_some());
}

#[tokio::test]
async fn ordinals_are_the_smallest_free_ones_and_stay() {
    let database = TestDatabase::new().await;
    let store = database.store();
    for node_name in ["n1", "n2", "n3"] {
        put_node(&store, &node(node_name)).await;
    }
    store.mark_node(&name("n2"), false).await.unwrap();
    store.remove_node(&name("n2")).await.unwrap();
    for node_name in ["n4", "n5", "n1"] {
        put_node(&store, &node(node_name)).await;
    }
    let nodes = store.nodes().await.unwrap();
    let ordinals: Vec<_> = nodes.iter().map(|n| (n.spec.name.as_str(), n.ordinal)).collect();
    assert_eq!(ordinals, [("n1", 1), ("n3", 3), ("n4", 2), ("n5", 4)]);

    for slice_name in ["a", "b"] {
        store.apply_slice(&slice(slice_name, &["n1"])).await.unwrap();
    }
    store.mark_slice(&name("a")).await.unwrap();
    store.remove_slice(&name("a")).await.unwrap();
    assert_eq!(store.apply_slice(&slice("c", &["n1"])).await.unwrap().slice.ordinal, 1);
    assert_eq!(store.apply_slice(&slice("b", &["n3"])).await.unwrap().slice.ordinal, 2);
}

#[tokio::test]
async fn many_nodes_at_once_all_get_ordinals() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let names: Vec<String> = (1..=20).map(|number| format!("n{number}")).collect();
    let specs: Vec<_> = names.iter().map(|node_name| node(node_name)).collect();
    futures::future::join_all(specs.iter().map(|spec| put_node(&store, spec))).await;
    let mut ordinals: Vec<_> = store.nodes().await.unwrap().iter().map(|n| n.ordinal).collect();
    ordinals.sort_unstable();
    assert_eq!(ordinals, (1..=20).collect::<Vec<u16>>());
}

#[tokio::test]
async fn parents_must_be_known_and_outlive_their_children() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let unknown = store.apply_slice(&slice("s1", &["n1"])).await.unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownNode(_)), "{unknown}");
    let unknown = store.apply_network(&network("blue", 1, "")).await.unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownSlice(_)), "{unknown}");
    let unknown = put_port(&store, &port("blue", "p")).await.unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownNetwork(_)), "{unknown}");
    assert_eq!(store.keys().await.unwrap(), []);

    put_network(&store).await;
    put_node(&store, &node("n3")).await;
    let mut elsewhere = port("blue", "p");
    elsewhere.node = name("n9");
    let unknown = put_port(&store, &elsewhere).await.unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownNode(_)), "{unknown}");
    elsewhere.node = name("n3");
    let outside = put_port(&store, &elsewhere).await.unwrap_err();
    assert!(matches!(outside, StoreError::NodeNotInSlice { .. }), "{outside}");

    put_port(&store, &port("blue", "p")).await.unwrap();
    let in_use = [
        store.mark_node(&name("n1"), false).await.unwrap_err(),
        store.mark_slice(&name("s1")).await.unwrap_err(),
        store.mark_network(&network_key("blue")).await.unwrap_err(),
    ];
    for error in in_use {
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    }
    // What is being deleted takes no more children.
    store.mark_node(&name("n3"), false).await.unwrap();
    let unknown = store.apply_slice(&slice("s2", &["n3"])).await.unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownNode(_)), "{unknown}");
    store.apply_network(&network("red", 2, "")).await.unwrap();
    store.mark_network(&network_key("red")).await.unwrap();
    let unknown = put_port(&store, &port("red", "p")).await.unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownNetwork(_)), "{unknown}");
}

#[tokio::test]
async fn no_port_slips_into_a_network_that_is_being_deleted() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    for round in 0..10 {
        let red = format!("red{round}");
        store.apply_network(&network(&red, 100 + round, "")).await.unwrap();
        let spec = port(&red, "p");
        let key = network_key(&red);
        let (marked, stored) = tokio::join!(store.mark_network(&key), put_port(&store, &spec));
        assert_ne!(marked.is_ok(), stored.is_ok(), "round {round}: {marked:?} {stored:?}");
    }
}

#[tokio::test]
async fn a_network_keeps_its_vni_and_under_ports_its_cidr() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    let mut changed = network("blue", 2, "10.1.0.0/24");
    changed.version.generation = 2;
    let error = store.apply_network(&changed).await.unwrap_err();
    assert!(matches!(error, StoreError::VniFixed { .. }), "{error}");
    let error = store.apply_network(&network("red", 1, "")).await.unwrap_err();
    assert!(matches!(error, StoreError::VniTaken(_)), "{error}");

    let mut changed = network("blue", 1, "10.2.0.0/24");
    changed.version.generation = 2;
    put_port(&store, &port("blue", "p")).await.unwrap();
    let error = store.apply_network(&changed).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    store.mark_port(&port("blue", "p").key, &PortCondition::default()).await.unwrap();
    store.remove_port(&port("blue", "p").key).await.unwrap();
    assert_eq!(store.apply_network(&changed).await.unwrap().0.spec, changed);
}

#[tokio::test]
async fn one_interface_of_a_node_is_one_ports() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    let tap = |port_name: &str, node: &str| {
        let mut spec = port("blue", port_name);
        spec.attachment = Attachment::Interface { name: "tap0".parse().unwrap() };
        spec.node = name(node);
        spec
    };
    put_port(&store, &tap("p", "n1")).await.unwrap();
    put_port(&store, &tap("q", "n2")).await.unwrap();
    let error = put_port(&store, &tap("r", "n1")).await.unwrap_err();
    assert!(matches!(error, StoreError::InterfaceTaken { .. }), "{error}");
}

#[tokio::test]
async fn a_port_that_moves_tells_where_it_was_and_keeps_its_addresses() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    let mut spec = port("blue", "p");
    let before = put_port(&store, &spec).await.unwrap();
    assert_eq!(before.former_node, None);
    spec.node = name("n2");
    spec.version.generation = 2;
    let after = put_port(&store, &spec).await.unwrap();
    assert_eq!(after.former_node, Some(name("n1")));
    assert_eq!(after.port.node, name("n2"));
    assert_eq!((after.port.mac, after.port.address), (before.port.mac, before.port.address));
}

#[tokio::test]
async fn a_slice_is_read_as_it_was_stored_without_nodes_that_go() {
    let database = TestDatabase::new().await;
    let store = database.store();
    for node_name in ["n1", "n2", "n3"] {
        put_node(&store, &node(node_name)).await;
    }
    let mut spec = slice("s1", &["n1", "n2", "n3"]);
    let links = vec![link("n1", "n2", 1), link("n2", "n3", 65_535)];
    spec.links = Links::Listed(links.clone());
    spec.avoid_transit = [name("n1"), name("n3")].into();
    assert_eq!(store.apply_slice(&spec).await.unwrap().slice.spec, spec);
    assert_eq!(store.slices_of(&name("n3")).await.unwrap(), [name("s1")]);

    store.mark_node(&name("n3"), false).await.unwrap();
    let slice = store.slice(&name("s1")).await.unwrap().unwrap();
    assert_eq!(slice.spec.nodes, [name("n1"), name("n2")]);
    assert_eq!(slice.spec.links, Links::Listed(links[..1].to_vec()));
    assert_eq!(slice.spec.avoid_transit, [name("n1")].into());
    store.remove_node(&name("n3")).await.unwrap();

    // Without its only link it has none, rather than all.
    store.mark_node(&name("n2"), false).await.unwrap();
    store.remove_node(&name("n2")).await.unwrap();
    let slice = store.slice(&name("s1")).await.unwrap().unwrap();
    assert_eq!(slice.spec.links, Links::Listed(Vec::new()));
}

/// The nodes that a node is to have tunnels to.
async fn peers(store: &Store, node: &str) -> Vec<String> {
    let peers = store.peers(&name(node)).await.unwrap();
    peers.iter().map(|peer| peer.spec.name.to_string()).collect()
}

/// Stores the next version of a slice.
async fn change_slice(store: &Store, mut spec: SliceSpec) -> SliceStored {
    let stored = store.slice(&spec.name).await.unwrap().unwrap();
    spec.version.generation = stored.spec.version.generation + 1;
    store.apply_slice(&spec).await.unwrap()
}

/// Forgets the former links of a slice as it is now.
async fn let_go(store: &Store, slice: &str) -> Vec<Name> {
    let slice = store.slice(&name(slice)).await.unwrap().unwrap();
    store.forget_former_links(&slice.spec.name, slice.topology).await.unwrap()
}

#[tokio::test]
async fn the_tunnels_of_a_node_are_the_links_of_all_its_slices() {
    let database = TestDatabase::new().await;
    let store = database.store();
    for node_name in ["n1", "n2", "n3", "n4"] {
        put_node(&store, &node(node_name)).await;
    }
    store.apply_slice(&slice("mesh", &["n1", "n2"])).await.unwrap();
    let mut line = slice("line", &["n1", "n3", "n4"]);
    line.links = Links::Listed(vec![link("n1", "n3", 1), link("n3", "n4", 1)]);
    store.apply_slice(&line).await.unwrap();
    assert_eq!(peers(&store, "n1").await, ["n2", "n3"]);
    assert_eq!(peers(&store, "n3").await, ["n1", "n4"]);

    // A slice that is being deleted may still have flows.
    store.mark_slice(&name("line")).await.unwrap();
    assert_eq!(peers(&store, "n3").await, ["n1", "n4"]);
    store.remove_slice(&name("line")).await.unwrap();
    assert_eq!(peers(&store, "n3").await, [""; 0]);
    assert_eq!(peers(&store, "n1").await, ["n2"], "another slice's");
}

#[tokio::test]
async fn a_link_that_a_slice_loses_keeps_its_tunnel_until_it_is_let_go() {
    let database = TestDatabase::new().await;
    let store = database.store();
    for node_name in ["n1", "n2", "n3"] {
        put_node(&store, &node(node_name)).await;
    }
    store.apply_slice(&slice("s1", &["n1", "n2", "n3"])).await.unwrap();
    let line = |links: Vec<Link>| SliceSpec {
        links: Links::Listed(links),
        ..slice("s1", &["n1", "n2", "n3"])
    };
    let before = store.slice(&name("s1")).await.unwrap().unwrap();
    change_slice(&store, line(vec![link("n1", "n2", 1), link("n2", "n3", 1)])).await;
    assert_eq!(peers(&store, "n1").await, ["n2", "n3"]);
    // Whoever has seen only the topology before cannot know.
    store.forget_former_links(&name("s1"), before.topology).await.unwrap();
    assert_eq!(peers(&store, "n1").await, ["n2", "n3"]);
    assert_eq!(let_go(&store, "s1").await.len(), 2);
    assert_eq!(peers(&store, "n1").await, ["n2"]);
    assert_eq!(peers(&store, "n3").await, ["n2"]);

    // A change of costs alone costs no tunnel.
    change_slice(&store, line(vec![link("n1", "n2", 9), link("n2", "n3", 1)])).await;
    assert_eq!(let_go(&store, "s1").await, []);

    let former = change_slice(&store, slice("s1", &["n1", "n2"])).await.former_nodes;
    assert_eq!(former, [name("n3")]);
    assert_eq!(peers(&store, "n2").await, ["n1", "n3"]);
    let_go(&store, "s1").await;
    assert_eq!(peers(&store, "n2").await, ["n1"]);
}

#[tokio::test]
async fn a_node_that_goes_keeps_its_tunnels_until_its_slices_let_go() {
    let database = TestDatabase::new().await;
    let store = database.store();
    for node_name in ["n1", "n2", "n3"] {
        put_node(&store, &node(node_name)).await;
    }
    store.apply_slice(&slice("s1", &["n1", "n2", "n3"])).await.unwrap();
    let before = store.slice(&name("s1")).await.unwrap().unwrap();
    store.mark_node(&name("n3"), false).await.unwrap();
    assert_eq!(peers(&store, "n1").await, ["n2", "n3"]);
    assert_eq!(peers(&store, "n3").await, ["n1", "n2"]);
    assert_eq!(store.slices_leaving(&name("n3")).await.unwrap(), [name("s1")]);
    // The slice is as it was for whoever read it before.
    store.forget_former_links(&name("s1"), before.topology).await.unwrap();
    assert_eq!(peers(&store, "n1").await, ["n2", "n3"]);
    let now = store.slice(&name("s1")).await.unwrap().unwrap();
    assert_eq!(store.former_ends(&name("s1"), now.topology).await.unwrap().len(), 2);
    let_go(&store, "s1").await;
    assert_eq!(peers(&store, "n1").await, ["n2"]);
    assert_eq!(store.slices_leaving(&name("n3")).await.unwrap(), []);
    // Asked again, it does not begin again.
    store.mark_node(&name("n3"), true).await.unwrap();
    assert_eq!(peers(&store, "n1").await, ["n2"]);
}

#[tokio::test]
async fn a_slice_cannot_leave_a_node_that_has_its_ports() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    let spec = port("blue", "p");
    put_port(&store, &spec).await.unwrap();
    let mut smaller = slice("s1", &["n2"]);
    smaller.version.generation = 2;
    let refused = store.apply_slice(&smaller).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::NodeNeeded { node, port }
            if *node == spec.node && *port == spec.key),
        "{refused}"
    );
    assert_eq!(store.slice(&name("s1")).await.unwrap().unwrap().spec.nodes.len(), 2);
    store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
    store.apply_slice(&smaller).await.unwrap();
}

#[tokio::test]
async fn no_port_slips_onto_a_node_that_a_slice_leaves() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    for round in 0..10 {
        let spec = port("blue", &format!("p{round}"));
        let mut smaller = slice("s1", &["n2"]);
        smaller.version.generation = 2 * round + 2;
        let (left, stored) = tokio::join!(store.apply_slice(&smaller), put_port(&store, &spec));
        assert_ne!(left.is_ok(), stored.is_ok(), "round {round}: {left:?} {stored:?}");
        if stored.is_ok() {
            store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
            store.remove_port(&spec.key).await.unwrap();
        }
        let mut larger = slice("s1", &["n1", "n2"]);
        larger.version.generation = 2 * round + 3;
        store.apply_slice(&larger).await.unwrap();
    }
}

#[tokio::test]
async fn every_object_has_a_key() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    put_port(&store, &port("blue", "p")).await.unwrap();
    let mut keys = store.keys().await.unwrap();
    keys.sort();
    let expected = [
        Key::Node(name("n1")),
        Key::Node(name("n2")),
        Key::Slice(name("s1")),
        Key::Network(network_key("blue")),
        Key::Port(port("blue", "p").key),
    ];
    assert_eq!(keys, expected);
}
