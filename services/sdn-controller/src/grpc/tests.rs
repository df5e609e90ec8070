//! The API in process, with fakes downstream and a real Postgres.

use futures::StreamExt;
use l2sces_proto::{
    fabric::v1::{
        InterfaceAttachment, NamespaceAttachment, Network, NetworkKey, Node, NodeLink, Port,
        PortKey, Slice, Version, port::Attachment,
    },
    measurement::v1::{LinkMetric, MeasurementPolicy},
    resource::v1::ChangeKind,
};
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::{
    examples,
    fabric::tunnel_interface,
    reconcile::{
        Reconciler,
        fakes::{World, run_until},
    },
    store::PortCondition,
};

fn api(world: &World, reconciler: &Reconciler) -> FabricApi {
    FabricApi {
        cluster: reconciler.cluster.clone(),
        store: world.store.clone(),
        agents: Arc::clone(&reconciler.agents),
        exchange: Arc::clone(&reconciler.exchange),
        fabric: Arc::clone(&reconciler.fabric),
        board: Arc::clone(&reconciler.board),
        queue: reconciler.queue.clone(),
        measurements: Arc::clone(&reconciler.measurements),
    }
}

fn version() -> Option<Version> {
    Some(Version { uid: "u".to_owned(), generation: 1 })
}

fn node(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        version: version(),
        underlay_address: "10.0.0.1".to_owned(),
        agent_endpoint: format!("http://{name}:50053"),
        gateway: false,
    }
}

fn slice() -> Slice {
    Slice {
        name: "s1".to_owned(),
        version: version(),
        nodes: vec!["n1".to_owned(), "n2".to_owned()],
        links: Vec::new(),
        avoid_transit: Vec::new(),
        measurement: None,
    }
}

fn network() -> Network {
    Network {
        slice: "s1".to_owned(),
        name: "blue".to_owned(),
        version: version(),
        vni: 1,
        cidr: "10.1.0.0/24".to_owned(),
        mtu: 1438,
    }
}

fn port() -> Port {
    Port {
        slice: "s1".to_owned(),
        network: "blue".to_owned(),
        name: "p".to_owned(),
        version: version(),
        node: "n1".to_owned(),
        attachment: Some(Attachment::Namespace(NamespaceAttachment {
            path: "/run/netns/p".to_owned(),
            interface_name: "net1".to_owned(),
            attachment_id: String::new(),
        })),
        mac: String::new(),
        address: String::new(),
        max_learned_addresses: 0,
        alias: String::new(),
    }
}

/// Anything that can be applied.
#[derive(Clone, Debug)]
enum Object {
    Node(Node),
    Slice(Slice),
    Network(Network),
    Port(Port),
}

impl FabricApi {
    async fn apply(&self, object: Object) -> Result<ObjectState, Status> {
        let state = match object {
            Object::Node(node) => {
                let request = ApplyNodeRequest { node: Some(node) };
                self.apply_node(Request::new(request)).await?.into_inner().state
            }
            Object::Slice(slice) => {
                let request = ApplySliceRequest { slice: Some(slice) };
                self.apply_slice(Request::new(request)).await?.into_inner().state
            }
            Object::Network(network) => {
                let request = ApplyNetworkRequest { network: Some(network) };
                self.apply_network(Request::new(request)).await?.into_inner().state
            }
            Object::Port(port) => {
                let request = ApplyPortRequest { port: Some(port) };
                self.apply_port(Request::new(request)).await?.into_inner().state
            }
        };
        Ok(state.expect("a state"))
    }

    async fn apply_all(&self) {
        for node_name in ["n1", "n2"] {
            self.apply(Object::Node(node(node_name))).await.unwrap();
        }
        self.apply(Object::Slice(slice())).await.unwrap();
        self.apply(Object::Network(network())).await.unwrap();
    }
}

fn bad_node(change: impl FnOnce(&mut Node)) -> Object {
    let mut node = node("n1");
    change(&mut node);
    Object::Node(node)
}

fn bad_slice(change: impl FnOnce(&mut Slice)) -> Object {
    let mut slice = slice();
    change(&mut slice);
    Object::Slice(slice)
}

fn bad_network(change: impl FnOnce(&mut Network)) -> Object {
    let mut network = network();
    change(&mut network);
    Object::Network(network)
}

fn bad_port(change: impl FnOnce(&mut Port)) -> Object {
    let mut port = port();
    change(&mut port);
    Object::Port(port)
}

fn namespace(path: &str, interface_name: &str) -> Option<Attachment> {
    attached(path, interface_name, "")
}

fn attached(path: &str, interface_name: &str, attachment_id: &str) -> Option<Attachment> {
    Some(Attachment::Namespace(NamespaceAttachment {
        path: path.to_owned(),
        interface_name: interface_name.to_owned(),
        attachment_id: attachment_id.to_owned(),
    }))
}

fn interface(name: &str) -> Option<Attachment> {
    Some(Attachment::Interface(InterfaceAttachment { name: name.to_owned() }))
}

fn link(a: &str, b: &str) -> NodeLink {
    NodeLink { node_a: a.to_owned(), node_b: b.to_owned(), cost: 0 }
}

fn bad_fields() -> Vec<(Object, Vec<&'static str>)> {
    vec![
        (bad_node(|node| node.name = "N_1".into()), vec!["node.name"]),
        (bad_node(|node| node.name = "n".repeat(64)), vec!["node.name"]),
        (bad_node(|node| node.version = None), vec!["node.version"]),
        (
            bad_node(|node| node.version = Some(Version::default())),
            vec!["node.version.uid", "node.version.generation"],
        ),
        (bad_node(|node| node.underlay_address = "n1".into()), vec!["node.underlay_address"]),
        (bad_node(|node| node.underlay_address = "0.0.0.0".into()), vec!["node.underlay_address"]),
        (bad_node(|node| node.underlay_address = "ff02::1".into()), vec!["node.underlay_address"]),
        (bad_node(|node| node.agent_endpoint = "n1:1".into()), vec!["node.agent_endpoint"]),
        (
            Object::Node(Node::default()),
            vec!["node.name", "node.version", "node.underlay_address", "node.agent_endpoint"],
        ),
        (bad_slice(|slice| slice.nodes.clear()), vec!["slice.nodes"]),
        (bad_slice(|slice| slice.nodes[1] = "n1".into()), vec!["slice.nodes[1]"]),
        (bad_slice(|slice| slice.nodes[1] = "-".into()), vec!["slice.nodes[1]"]),
        (bad_slice(|slice| slice.links = vec![link("n1", "n3")]), vec!["slice.links[0].node_b"]),
        (bad_slice(|slice| slice.links = vec![link("n1", "n1")]), vec!["slice.links[0]"]),
        (
            bad_slice(|slice| slice.links = vec![link("n1", "n2"), link("n2", "n1")]),
            vec!["slice.links[1]"],
        ),
        (
            bad_slice(|slice| slice.links = vec![NodeLink { cost: 65_536, ..link("n1", "n2") }]),
            vec!["slice.links[0].cost"],
        ),
        (
            bad_slice(|slice| slice.avoid_transit = vec!["n2".into(), "n3".into()]),
            vec!["slice.avoid_transit[1]"],
        ),
        (bad_network(|network| network.slice = String::new()), vec!["network.slice"]),
        (bad_network(|network| network.vni = 0), vec!["network.vni"]),
        (bad_network(|network| network.vni = 1 << 24), vec!["network.vni"]),
        (bad_network(|network| network.cidr = "10.1.0.0".into()), vec!["network.cidr"]),
        (bad_network(|network| network.cidr = "10.1.0.1/24".into()), vec!["network.cidr"]),
        (bad_network(|network| network.cidr = "239.0.0.0/8".into()), vec!["network.cidr"]),
        (bad_network(|network| network.cidr = "0.0.0.0/0".into()), vec!["network.cidr"]),
        (bad_network(|network| network.mtu = 67), vec!["network.mtu"]),
        (bad_network(|network| network.mtu = 65_536), vec!["network.mtu"]),
        (
            bad_network(|network| {
                network.cidr = "fd00::/64".into();
                network.mtu = 1279;
            }),
            vec!["network.mtu"],
        ),
        (bad_port(|port| port.node = "n 1".into()), vec!["port.node"]),
        (bad_port(|port| port.attachment = None), vec!["port.attachment"]),
        (
            bad_port(|port| port.attachment = namespace("p", "a/b")),
            vec!["port.namespace.path", "port.namespace.interface_name"],
        ),
        (
            bad_port(|port| port.attachment = attached("/p", "net1", &"i".repeat(129))),
            vec!["port.namespace.attachment_id"],
        ),
        (
            bad_port(|port| port.attachment = interface("l2t-sps")),
            vec!["port.mac", "port.interface.name"],
        ),
        (bad_port(|port| port.mac = "01:00:5e:00:00:01".into()), vec!["port.mac"]),
        (bad_port(|port| port.mac = "02:00".into()), vec!["port.mac"]),
        (bad_port(|port| port.max_learned_addresses = 1_025), vec!["port.max_learned_addresses"]),
        (bad_port(|port| port.max_learned_addresses = 1 << 16), vec!["port.max_learned_addresses"]),
        (bad_port(|port| port.alias = "App_1".into()), vec!["port.alias"]),
        (bad_port(|port| port.address = "10.1.0.1/33".into()), vec!["port.address"]),
        (bad_port(|port| port.address = "10.2.0.1".into()), vec!["port.address"]),
        (bad_port(|port| port.address = "10.1.0.0".into()), vec!["port.address"]),
        (bad_port(|port| port.address = "10.1.0.255".into()), vec!["port.address"]),
        (
            bad_port(|port| {
                *port = Port { mac: "x".into(), address: "y".into(), ..Port::default() }
            }),
            vec![
                "port.slice",
                "port.network",
                "port.name",
                "port.version",
                "port.node",
                "port.attachment",
                "port.mac",
                "port.address",
            ],
        ),
    ]
}

#[tokio::test]
async fn bad_fields_are_named_and_change_nothing() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    api.apply_all().await;
    let before = (world.store.nodes().await.unwrap(), world.store.slices().await.unwrap());
    let networks_before = world.store.networks().await.unwrap();
    for (mut object, expected) in bad_fields() {
        // So that nothing is ignored because it is old.
        let generation = |version: &mut Option<Version>| {
            if let Some(version) = version
                && version.generation == 1
            {
                version.generation = 2;
            }
        };
        match &mut object {
            Object::Node(node) => generation(&mut node.version),
            Object::Slice(slice) => generation(&mut slice.version),
            Object::Network(network) => generation(&mut network.version),
            Object::Port(port) => generation(&mut port.version),
        }
        let case = format!("{object:?}");
        let status = api.apply(object).await.expect_err(&case);
        assert_eq!(status.code(), Code::InvalidArgument, "{case}");
        let violations = status.get_details_bad_request().expect(&case).field_violations;
        let fields: Vec<_> = violations.iter().map(|violation| &violation.field[..]).collect();
        assert_eq!(fields, expected, "{case}");
    }
    let after = (world.store.nodes().await.unwrap(), world.store.slices().await.unwrap());
    assert_eq!(after, before);
    assert_eq!(world.store.networks().await.unwrap(), networks_before);
    assert_eq!(world.store.ports().await.unwrap(), []);
}

#[tokio::test]
async fn what_does_not_fit_what_is_stored_is_a_failed_precondition() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    world.exchange.offer(["10.1.0.0/24".parse().unwrap()]);
    let refused = async |object: Object| {
        let case = format!("{object:?}");
        let status = api.apply(object).await.expect_err(&case);
        assert_eq!(status.code(), Code::FailedPrecondition, "{case}: {status}");
        status.get_details_precondition_failure().expect(&case).violations[0].subject.clone()
    };
    assert_eq!(refused(Object::Slice(slice())).await, "node/n1");
    assert_eq!(refused(Object::Network(network())).await, "slice/s1");
    assert_eq!(refused(Object::Port(port())).await, "network/s1/blue");
    api.apply_all().await;
    assert_eq!(refused(bad_port(|port| port.node = "n3".into())).await, "node/n3");
    let mut taken = bad_network(|network| network.name = "red".into());
    assert_eq!(refused(taken).await, "VNI/1");
    taken = bad_network(|network| network.vni = 2);
    assert_eq!(refused(taken).await, "network/s1/blue");

    api.apply(bad_port(|port| {
        port.mac = "02:00:00:00:00:01".into();
        port.address = "10.1.0.9".into();
    }))
    .await
    .unwrap();
    let twin = |change: fn(&mut Port)| {
        bad_port(|port| {
            port.name = "q".into();
            change(port);
        })
    };
    let same_mac = twin(|port| port.mac = "02:00:00:00:00:01".into());
    assert_eq!(refused(same_mac).await, "MAC address/02:00:00:00:00:01");
    let same_address = twin(|port| port.address = "10.1.0.9".into());
    assert_eq!(refused(same_address).await, "address/10.1.0.9");

    let in_use = [
        api.delete_node(Request::new(DeleteNodeRequest { name: "n1".into(), force: false }))
            .await
            .err(),
        api.delete_slice(Request::new(DeleteSliceRequest { name: "s1".into() })).await.err(),
        api.delete_network(Request::new(DeleteNetworkRequest { key: Some(blue()) })).await.err(),
    ];
    for status in in_use {
        assert_eq!(status.unwrap().code(), Code::FailedPrecondition);
    }
}

fn blue() -> NetworkKey {
    NetworkKey { slice: "s1".into(), name: "blue".into() }
}

fn removal(key: Option<PortKey>, attachment_id: &str) -> DeletePortRequest {
    DeletePortRequest { key, attachment_id: attachment_id.to_owned(), generation: 0 }
}

fn port_key() -> PortKey {
    PortKey { slice: "s1".into(), network: "blue".into(), name: "p".into() }
}

#[tokio::test]
async fn bad_keys_are_named() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    let name = String::from("No name");
    let key = NetworkKey { name: name.clone(), ..blue() };
    let port_key = PortKey { network: name.clone(), ..port_key() };
    let refused = [
        (
            api.delete_node(Request::new(DeleteNodeRequest { name: name.clone(), force: false }))
                .await
                .err(),
            "name",
        ),
        (api.delete_slice(Request::new(DeleteSliceRequest { name })).await.err(), "name"),
        (
            api.delete_network(Request::new(DeleteNetworkRequest { key: Some(key) })).await.err(),
            "key.name",
        ),
        (api.delete_port(Request::new(removal(Some(port_key), ""))).await.err(), "key.network"),
        (api.delete_port(Request::new(removal(None, ""))).await.err(), "key"),
        (
            api.delete_port(Request::new(removal(Some(self::port_key()), "\0"))).await.err(),
            "attachment_id",
        ),
        (
            api.delete_port(Request::new(DeletePortRequest {
                generation: -1,
                ..removal(Some(self::port_key()), "")
            }))
            .await
            .err(),
            "generation",
        ),
        (
            api.list_ports(Request::new(ListPortsRequest {
                node: "N 1".into(),
                attachment_id: String::new(),
            }))
            .await
            .err(),
            "node",
        ),
    ];
    for (status, field) in refused {
        let violations = status.unwrap().get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, field);
    }
}

#[tokio::test]
async fn a_port_is_answered_with_what_it_has_been_given_and_the_same_again() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    api.apply_all().await;
    world.exchange.offer(["10.1.0.0/28".parse().unwrap()]);
    let state = api.apply(Object::Port(port())).await.unwrap();
    assert!(!state.ready);
    assert_eq!(state.reason, "Pending");
    let assignment = state.port.clone().unwrap();
    assert_eq!((assignment.address.as_str(), assignment.mtu), ("10.1.0.1/24", 1438));
    assert!(assignment.interface_name.starts_with("l2p-"));
    assert_eq!(api.apply(Object::Port(port())).await.unwrap().port, Some(assignment));
    assert_eq!(world.store.ports().await.unwrap().len(), 1);
}

#[tokio::test]
async fn ports_are_listed_by_node_and_by_what_they_were_attached_for() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    api.apply_all().await;
    world.exchange.offer(["10.1.0.0/28".parse().unwrap()]);
    let ports = [("p", "n1", "sandbox-1"), ("q", "n2", "sandbox-2"), ("r", "n1", "")];
    for (name, node, id) in ports {
        let object = bad_port(|port| {
            port.name = name.into();
            port.node = node.into();
            port.attachment = attached("/run/netns/p", "net1", id);
            port.alias = "app".into();
        });
        api.apply(object).await.unwrap();
    }
    let listed = async |node: &str, attachment_id: &str| {
        let (node, attachment_id) = (node.to_owned(), attachment_id.to_owned());
        let request = Request::new(ListPortsRequest { node, attachment_id });
        let ports = api.list_ports(request).await.unwrap().into_inner().ports;
        ports.into_iter().map(|listed| listed.port.unwrap().name).collect::<Vec<_>>()
    };
    assert_eq!(listed("", "").await, ["p", "q", "r"]);
    assert_eq!(listed("n1", "").await, ["p", "r"]);
    assert_eq!(listed("", "sandbox-2").await, ["q"]);
    assert_eq!(listed("n1", "sandbox-2").await, [""; 0]);

    // As it was applied, with what it has been given.
    let request = ListPortsRequest { attachment_id: "sandbox-1".into(), ..Default::default() };
    let answer = api.list_ports(Request::new(request)).await.unwrap().into_inner();
    let ListedPort { port: listed_port, state } = answer.ports[0].clone();
    let (listed_port, assignment) = (listed_port.unwrap(), state.unwrap().port.unwrap());
    assert_eq!(assignment.address, format!("{}/24", listed_port.address));
    let expected = Port {
        attachment: attached("/run/netns/p", "net1", "sandbox-1"),
        mac: assignment.mac,
        address: "10.1.0.1".into(),
        alias: "app".into(),
        ..port()
    };
    assert_eq!(listed_port, expected);
}

#[tokio::test]
async fn a_port_of_another_attachment_stays() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    api.apply_all().await;
    world.exchange.offer(["10.1.0.0/28".parse().unwrap()]);
    // The pod's sandbox was made anew.
    for (generation, id) in [(1, "old"), (2, "new")] {
        let object = bad_port(|port| {
            port.version = Some(Version { generation, ..version().unwrap() });
            port.attachment = attached("/run/netns/p", "net1", id);
        });
        api.apply(object).await.unwrap();
    }
    let delete = async |id: &str, generation| {
        let request = DeletePortRequest { generation, ..removal(Some(port_key()), id) };
        api.delete_port(Request::new(request)).await.unwrap().into_inner().gone
    };
    let is_deleting = async || world.store.ports().await.unwrap().iter().any(|port| port.deleting);
    assert!(delete("old", 0).await, "nothing is left of the old one");
    assert!(delete("new", 1).await, "nothing is left of the attempt before");
    assert!(!is_deleting().await);
    assert!(!delete("new", 2).await);
    assert!(is_deleting().await);
}

#[tokio::test]
async fn what_is_gone_does_not_come_back_by_being_applied_late() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    api.apply_all().await;
    world.exchange.offer(["10.1.0.0/28".parse().unwrap()]);
    api.apply(Object::Port(port())).await.unwrap();
    let key = examples::port("blue", "p").key;
    // As it is when it was found being deleted, and its removal has been told of since.
    world.store.mark_port(&key, &PortCondition::default()).await.unwrap();
    let key = Key::Port(key);
    reconciler.board.remove(&key, &crate::domain::Version { uid: "u".into(), generation: 1 });
    let refused = api.apply(Object::Port(port())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert!(reconciler.board.state(&key).is_none());
}

#[tokio::test]
async fn everything_is_deleted_from_the_inside_out_and_watchers_hear_of_it() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    api.apply_all().await;
    world.exchange.offer(["10.1.0.0/28".parse().unwrap()]);
    api.apply(Object::Port(port())).await.unwrap();
    run_until(&reconciler, || world.agents.interfaces().len() == 1).await;
    let mut watch = api.watch(Request::new(WatchRequest {})).await.unwrap().into_inner();
    loop {
        let response = watch.next().await.unwrap().unwrap();
        if response.kind() == ChangeKind::Synced {
            break;
        }
        assert_eq!(response.kind(), ChangeKind::Put);
    }

    let gone = async |key: Key| {
        run_until(&reconciler, || reconciler.board.state(&key).is_none()).await;
    };
    let delete_port = || removal(Some(port_key()), "");
    assert!(!api.delete_port(Request::new(delete_port())).await.unwrap().into_inner().gone);
    gone(Key::Port("s1/blue/p".parse().unwrap())).await;
    assert!(api.delete_port(Request::new(delete_port())).await.unwrap().into_inner().gone);

    let delete_network = || DeleteNetworkRequest { key: Some(blue()) };
    assert!(!api.delete_network(Request::new(delete_network())).await.unwrap().into_inner().gone);
    gone(Key::Network(examples::network_key("blue"))).await;
    assert!(api.delete_network(Request::new(delete_network())).await.unwrap().into_inner().gone);

    let delete_slice = || DeleteSliceRequest { name: "s1".into() };
    assert!(!api.delete_slice(Request::new(delete_slice())).await.unwrap().into_inner().gone);
    gone(Key::Slice("s1".parse().unwrap())).await;
    assert!(api.delete_slice(Request::new(delete_slice())).await.unwrap().into_inner().gone);

    for name in ["n1", "n2"] {
        let delete_node = || DeleteNodeRequest { name: name.into(), force: false };
        assert!(!api.delete_node(Request::new(delete_node())).await.unwrap().into_inner().gone);
        gone(Key::Node(name.parse().unwrap())).await;
        assert!(api.delete_node(Request::new(delete_node())).await.unwrap().into_inner().gone);
    }
    assert_eq!(world.store.keys().await.unwrap(), []);
    assert_eq!(world.agents.interfaces(), []);
    assert_eq!(world.agents.switch("http://n1:50053"), None);
    let wanted = world.fabric.wanted();
    assert!(wanted.ports.is_empty() && wanted.networks.is_empty());
    assert!(wanted.slices.is_empty() && wanted.switches.is_empty());

    drop((api, reconciler));
    let mut deleted = Vec::new();
    while let Some(Ok(response)) = watch.next().await {
        if response.kind() == ChangeKind::Deleted {
            deleted.push(response.state.unwrap());
        }
    }
    assert_eq!(deleted.len(), 5);
    assert!(deleted.iter().all(|state| state.version == version() && state.port.is_none()));
}

#[tokio::test]
async fn links_are_measured_and_listed_as_long_as_a_slice_asks_for_it() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    let nodes = ["n1", "n2", "n3"];
    for name in nodes {
        api.apply(Object::Node(node(name))).await.unwrap();
    }
    let other =
        Slice { name: "s2".to_owned(), nodes: ["n1", "n3"].map(str::to_owned).into(), ..slice() };
    api.apply(Object::Slice(other)).await.unwrap();
    let policy = MeasurementPolicy { metrics: vec![LinkMetric::Loss.into()], ..Default::default() };
    let generation = |generation, measurement| {
        let version = Some(Version { generation, ..version().unwrap() });
        Object::Slice(Slice { version, measurement, ..slice() })
    };
    // How many links each node measures.
    let measured =
        || nodes.map(|node| world.agents.measured(&format!("http://{node}:50053")).len());
    let is_known = || {
        let ends = [("n1", "n2"), ("n2", "n1")];
        ends.iter().all(|(node, peer)| {
            let interface = tunnel_interface(&api.cluster, &examples::name(peer));
            api.measurements.latest(&examples::name(node), &interface).is_some()
        })
    };
    let listed = async |slice: &str| {
        let request = Request::new(ListLinksRequest { slice: slice.to_owned() });
        let links = api.list_links(request).await?.into_inner().links.into_iter();
        let links = links.map(|link| {
            let ends = format!("{}-{}", link.source_node, link.target_node);
            (ends, link.measurement.map(|measurement| measurement.probes_sent))
        });
        Ok::<_, Status>(links.collect::<Vec<_>>())
    };
    let link = |ends: &str, probes| (ends.to_owned(), probes);

    api.apply(generation(1, Some(policy.clone()))).await.unwrap();
    let has_slices = || world.fabric.wanted().slices.len() == 2;
    run_until(&reconciler, || measured() == [1, 1, 0] && is_known() && has_slices()).await;
    let both = [link("n1-n2", Some(7)), link("n2-n1", Some(7))];
    assert_eq!(listed("s1").await.unwrap(), both);
    let others = [link("n1-n3", None), link("n3-n1", None)];
    assert_eq!(listed("s2").await.unwrap(), others);
    assert_eq!(listed("").await.unwrap(), [both, others].concat());
    assert_eq!(listed("s3").await.unwrap_err().code(), Code::NotFound);

    api.apply(generation(2, None)).await.unwrap();
    run_until(&reconciler, || measured() == [0, 0, 0]).await;
    assert_eq!(listed("s1").await.unwrap(), [link("n1-n2", None), link("n2-n1", None)]);

    api.apply(generation(3, Some(policy.clone()))).await.unwrap();
    run_until(&reconciler, || measured() == [1, 1, 0]).await;
    api.delete_slice(Request::new(DeleteSliceRequest { name: "s1".into() })).await.unwrap();
    let is_gone = || reconciler.board.state(&Key::Slice(examples::name("s1"))).is_none();
    run_until(&reconciler, || measured() == [0, 0, 0] && is_gone()).await;

    api.apply(generation(4, Some(policy))).await.unwrap();
    run_until(&reconciler, || measured() == [1, 1, 0]).await;
    let delete_node = DeleteNodeRequest { name: "n2".into(), force: true };
    api.delete_node(Request::new(delete_node)).await.unwrap();
    let tunnels = || world.agents.switch("http://n1:50053").map(|switch| switch.links.len());
    run_until(&reconciler, || measured() == [0, 0, 0] && tunnels() == Some(1)).await;
}

#[tokio::test]
async fn what_may_have_been_written_is_looked_at() {
    let world = World::new().await;
    let reconciler = world.start_complete().await;
    let api = api(&world, &reconciler);
    api.apply_all().await;
    let block = "10.1.0.0/24".parse().unwrap();
    world.store.add_block(&examples::network_key("blue"), block, 0).await.unwrap();
    // As when the connection is lost before the answer: it is written, and the write fails.
    let spec = examples::port("blue", "q");
    examples::put_port(&world.store, &spec).await.unwrap();
    assert!(api.board.port_facts(&spec.key).is_none());
    let lost = Err::<(), _>(Status::unavailable("lost"));
    assert!(api.checked(Key::Port(spec.key.clone()), lost).is_err());
    run_until(&reconciler, || api.board.port_facts(&spec.key).is_some()).await;
}
