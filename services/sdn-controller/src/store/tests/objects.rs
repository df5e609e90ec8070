use crate::{
    domain::{Attachment, Key, Links},
    examples::{
        name, network, network_key, node, port, put_network, put_node, put_port, slice, version,
    },
    fabric::datapath_id,
    store::{StoreError, test_database::TestDatabase},
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
    assert!(store.mark_port(&spec.key).await.unwrap().unwrap().deleting);
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
    store.mark_node(&name("n2")).await.unwrap();
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
        store.mark_node(&name("n1")).await.unwrap_err(),
        store.mark_slice(&name("s1")).await.unwrap_err(),
        store.mark_network(&network_key("blue")).await.unwrap_err(),
    ];
    for error in in_use {
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    }
    // What is being deleted takes no more children.
    store.mark_node(&name("n3")).await.unwrap();
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
    store.mark_port(&port("blue", "p").key).await.unwrap();
    store.remove_port(&port("blue", "p").key).await.unwrap();
    assert_eq!(store.apply_network(&changed).await.unwrap().spec, changed);
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
    let pairs = vec![(name("n1"), name("n2")), (name("n2"), name("n3"))];
    spec.links = Links::Pairs(pairs.clone());
    assert_eq!(store.apply_slice(&spec).await.unwrap().slice.spec, spec);
    assert_eq!(store.slices_of(&name("n3")).await.unwrap(), [name("s1")]);

    store.mark_node(&name("n3")).await.unwrap();
    let slice = store.slice(&name("s1")).await.unwrap().unwrap();
    assert_eq!(slice.spec.nodes, [name("n1"), name("n2")]);
    assert_eq!(slice.spec.links, Links::Pairs(pairs[..1].to_vec()));
    store.remove_node(&name("n3")).await.unwrap();

    // Without its only link it has none, rather than all.
    store.mark_node(&name("n2")).await.unwrap();
    store.remove_node(&name("n2")).await.unwrap();
    let slice = store.slice(&name("s1")).await.unwrap().unwrap();
    assert_eq!(slice.spec.links, Links::Pairs(Vec::new()));
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
    line.links = Links::Pairs(vec![(name("n1"), name("n3")), (name("n3"), name("n4"))]);
    store.apply_slice(&line).await.unwrap();
    let peers = async |node: &str| -> Vec<String> {
        let peers = store.peers(&name(node)).await.unwrap();
        peers.iter().map(|peer| peer.spec.name.to_string()).collect()
    };
    assert_eq!(peers("n1").await, ["n2", "n3"]);
    assert_eq!(peers("n3").await, ["n1", "n4"]);
    let former = store.apply_slice(&slice("mesh", &["n1"])).await.unwrap().former_nodes;
    assert_eq!(former, [name("n2")]);
    assert_eq!(peers("n1").await, ["n3"]);
    store.mark_slice(&name("line")).await.unwrap();
    assert_eq!(peers("n3").await, [""; 0]);
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
