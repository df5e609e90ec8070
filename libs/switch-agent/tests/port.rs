//! Ports: pods and interfaces, attached, changed, repaired, detached, watched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/advertisements.rs"]
mod advertisements;
#[path = "support/agent.rs"]
mod agent;
mod support;

use advertisements::Advertisements;
use futures::{StreamExt as _, future::join_all};
use l2sces_model::MacAddress;
use l2sces_ovsdb::{Atom, Client, Config, Mutation, Mutator, Operation, Row, Value};
use l2sces_proto::{
    resource::v1::ChangeKind,
    switch::v1::{
        self as api, AnnouncePortRequest, ApplyPortRequest, ApplySwitchRequest, DeletePortRequest,
        DeleteSwitchRequest, WatchPortsRequest, WatchPortsResponse,
        switch_service_server::SwitchService as _,
    },
};
use l2sces_switch_agent::{AgentError, AgentKind, NamespaceAttachment, SwitchApi, inspect};
use support::{Namespace, Node, PATIENCE, eventually, namespace_of, port, run, switch, transfer};
use tokio::time::timeout;
use tonic::{Code, Request, Status};

async fn agent(node: &Node) -> SwitchApi {
    agent::start(agent::config(node, AgentKind::Sps)).await
}

/// An agent whose bridge exists and forwards by itself.
async fn agent_with_bridge(node: &Node) -> SwitchApi {
    let agent = agent(node).await;
    let request = ApplySwitchRequest { switch: Some(switch()) };
    agent.apply_switch(Request::new(request)).await.unwrap();
    node.forward_normally("br-sps");
    agent
}

async fn apply(agent: &SwitchApi, port: &api::Port) -> Result<api::PortState, Status> {
    let request = ApplyPortRequest { port: Some(port.clone()) };
    Ok(agent.apply_port(Request::new(request)).await?.into_inner().state.unwrap())
}

async fn delete(agent: &SwitchApi, interface: &str) {
    let request = DeletePortRequest { interface_name: interface.to_owned() };
    agent.delete_port(Request::new(request)).await.unwrap();
}

async fn announce(agent: &SwitchApi, port: &api::Port) -> Result<(), Status> {
    let request = AnnouncePortRequest { port: Some(port.clone()) };
    agent.announce_port(Request::new(request)).await.map(drop)
}

/// How many interfaces a bridge without ports has: its own, and the one that keeps the UDP port of
/// tunnels open.
const BARE: usize = 2;

/// Makes an interface that is somebody else's.
fn add_interface(name: &str) {
    let peer = format!("{name}-peer");
    run("ip", ["link", "add", name, "type", "veth", "peer", "name", &peer]);
    run("ip", ["link", "set", name, "up"]);
    run("ip", ["link", "set", &peer, "up"]);
}

fn works(state: &api::PortState) -> bool {
    state.ofport > 0 && state.error.is_empty()
}

#[test]
fn what_others_change_in_a_namespace_is_found() {
    let node = Node::start();
    let pod = Namespace::new("pod");
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        apply(&agent, &port(1, &pod)).await.unwrap();
        let wanted = NamespaceAttachment {
            path: pod.path(),
            interface: "eth1".parse().unwrap(),
            mac: MacAddress::new([2, 0, 0, 0, 0, 1]),
            address: Some("10.1.0.1/24".parse().unwrap()),
            mtu: 1400,
        };
        let change = |change: &str| {
            let status = pod.command("ip").args(change.split(' ')).status().unwrap();
            assert!(status.success(), "{change}");
        };
        assert_eq!(inspect(&wanted).await.unwrap(), None);
        let changes = [
            ("link set eth1 mtu 1300", "link set eth1 mtu 1400", "MTU 1300"),
            (
                "link set eth1 address 02:00:00:00:00:09",
                "link set eth1 address 02:00:00:00:00:01",
                "MAC",
            ),
            ("addr del 10.1.0.1/24 dev eth1", "addr add 10.1.0.1/24 dev eth1", "10.1.0.1/24"),
            ("link set eth1 down", "link set eth1 up", "down"),
            ("link del eth1", "link add eth1 type bridge", "gone"),
        ];
        for (made, repaired, word) in changes {
            change(made);
            let found = inspect(&wanted).await.unwrap().unwrap_or_default();
            assert!(found.contains(word), "{made}: {found:?}");
            change(repaired);
        }
        // Another in its place is none of ours, whatever it is called.
        let found = inspect(&wanted).await.unwrap().unwrap_or_default();
        assert!(found.contains("none of ours"), "{found:?}");
        let nowhere = NamespaceAttachment { path: "/run/netns/none".into(), ..wanted };
        assert!(matches!(inspect(&nowhere).await, Err(AgentError::NoNamespace(_))));
    });
}

#[test]
fn pods_on_a_bridge_talk_and_are_removed_without_a_trace() {
    let node = Node::start();
    let (one, two) = (Namespace::new("pod"), Namespace::new("pod"));
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        for state in [
            apply(&agent, &port(1, &one)).await.unwrap(),
            apply(&agent, &port(2, &two)).await.unwrap(),
        ] {
            assert!(works(&state), "{state:?}");
        }
        let pod = one.link("eth1").unwrap();
        assert_eq!(pod["address"], "02:00:00:00:00:01");
        assert_eq!(pod["mtu"], 1400);
        assert_eq!(one.addresses("eth1"), ["10.1.0.1/24"]);
        let host = node.namespace.link("l2p-1").unwrap();
        assert_eq!(host["mtu"], 1400);
        assert_eq!(run("sysctl", ["-n", "net.ipv6.conf.l2p-1.disable_ipv6"]).trim(), "1");
        assert!(one.pings("127.0.0.1"), "the loopback interface is up");
        assert!(one.pings("10.1.0.2"));
        transfer(&one, &two, "10.1.0.2".parse().unwrap());

        delete(&agent, "l2p-1").await;
        delete(&agent, "l2p-1").await;
        assert!(node.namespace.link("l2p-1").is_none());
        assert!(one.link("eth1").is_none());
        let removed = agent.delete_switch(Request::new(DeleteSwitchRequest {})).await;
        removed.unwrap();
        assert!(two.link("eth1").is_none());
        for table in ["Bridge", "Port", "Interface", "Controller"] {
            assert_eq!(node.count(table), 0, "{table}");
        }
        let links = node.namespace.links();
        assert!(!links.iter().any(|link| link.starts_with("l2p-")), "{links:?}");
    });
}

#[test]
fn ipv6_addresses_are_usable_at_once() {
    let node = Node::start();
    let (one, two) = (Namespace::new("pod"), Namespace::new("pod"));
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        for (number, pod) in [(1, &one), (2, &two)] {
            let mut port = port(number, pod);
            namespace_of(&mut port).address = format!("fd00::{number}/64");
            apply(&agent, &port).await.unwrap();
        }
        let tentative = one.run("ip", ["-6", "addr", "show", "dev", "eth1", "scope", "global"]);
        assert!(
            tentative.contains("fd00::1/64") && !tentative.contains("tentative"),
            "{tentative}"
        );
        assert!(one.pings("fd00::2"));
    });
}

#[test]
fn a_port_is_changed_in_place_and_only_where_it_differs() {
    let node = Node::start();
    let pod = Namespace::new("pod");
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        let mut port = port(1, &pod);
        let made = apply(&agent, &port).await.unwrap();
        let index = pod.link("eth1").unwrap()["ifindex"].clone();
        let written = node.column("Open_vSwitch", ".", "next_cfg");
        assert_eq!(apply(&agent, &port).await.unwrap(), made);
        drop(agent);
        let agent = self::agent(&node).await;
        assert_eq!(apply(&agent, &port).await.unwrap(), made);

        // An address of somebody else's stays.
        pod.run("ip", ["addr", "add", "10.7.0.1/24", "dev", "eth1"]);
        let namespace = namespace_of(&mut port);
        namespace.mac = "02:00:00:00:00:99".to_owned();
        namespace.mtu = 1300;
        namespace.address = "10.1.0.99/24".to_owned();
        port.owner = "s/n/other".to_owned();
        let changed = apply(&agent, &port).await.unwrap();
        assert_eq!(changed, api::PortState { owner: "s/n/other".to_owned(), ..made });
        let link = pod.link("eth1").unwrap();
        assert_eq!(link["ifindex"], index);
        assert_eq!((&link["address"], &link["mtu"]), (&"02:00:00:00:00:99".into(), &1300.into()));
        assert_eq!(pod.addresses("eth1"), ["10.1.0.99/24", "10.7.0.1/24"]);
        assert_eq!(node.namespace.link("l2p-1").unwrap()["mtu"], 1300);

        namespace_of(&mut port).address.clear();
        apply(&agent, &port).await.unwrap();
        assert_eq!(pod.addresses("eth1"), ["10.7.0.1/24"]);
        assert_eq!(node.column("Open_vSwitch", ".", "next_cfg"), written, "nothing for the switch");
    });
}

#[test]
fn a_missing_namespace_is_named_and_nothing_is_left_behind() {
    let node = Node::start();
    let pod = Namespace::new("pod");
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        let mut port = port(1, &pod);
        let not_a_namespace = node.path("file");
        std::fs::write(&not_a_namespace, "").unwrap();
        for path in ["/run/netns/no-such-pod", not_a_namespace.as_str()] {
            namespace_of(&mut port).path = path.to_owned();
            let refused = apply(&agent, &port).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{refused}");
            assert!(refused.message().contains(path), "{refused}");
        }
        namespace_of(&mut port).path = node.namespace.path().display().to_string();
        let refused = apply(&agent, &port).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(node.namespace.link("l2p-1").is_none());
        assert_eq!(node.count("Interface"), BARE, "those of the bridge");
    });
}

#[test]
fn what_is_somebody_elses_is_refused_and_left_alone() {
    let node = Node::start();
    let pod = Namespace::new("pod");
    node.block_on(async {
        let agent = self::agent(&node).await;
        let without_bridge = apply(&agent, &port(1, &pod)).await.unwrap_err();
        assert_eq!(without_bridge.code(), Code::FailedPrecondition, "{without_bridge}");

        let agent = agent_with_bridge(&node).await;
        for name in ["in-other", "in-ours", "l2p-7"] {
            add_interface(name);
        }
        node.vsctl(["add-br", "br-x", "--", "set", "bridge", "br-x", "datapath_type=netdev"]);
        node.vsctl(["add-port", "br-x", "in-other", "--", "add-port", "br-sps", "in-ours"]);
        let refused = async |port: &api::Port| {
            let status = apply(&agent, port).await.unwrap_err();
            assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        };
        let interface = |name: &str| api::Port {
            interface_name: name.to_owned(),
            owner: "s/n/p".to_owned(),
            attachment: Some(api::port::Attachment::Interface(api::InterfaceAttachment {})),
        };
        refused(&interface("in-other")).await;
        // As a hypervisor adds it.
        let state = apply(&agent, &interface("in-ours")).await.unwrap();
        assert!(works(&state), "{state:?}");
        for name in ["in-other", "in-ours"] {
            delete(&agent, name).await;
            assert_ne!(node.column("Interface", name, "ofport"), "[]", "still there");
            assert_eq!(node.column("Interface", name, "external_ids"), "{}");
        }
        // The name on the node, and in the pod.
        refused(&port(7, &pod)).await;
        delete(&agent, "l2p-7").await;
        assert!(node.namespace.link("l2p-7").is_some());
        pod.run("ip", ["link", "add", "eth1", "type", "veth"]);
        refused(&port(1, &pod)).await;
        assert!(node.namespace.link("l2p-1").is_none());

        let missing = apply(&agent, &interface("no-such-if")).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound, "{missing}");
    });
}

#[test]
fn an_address_that_changes_hands_is_found_at_once() {
    let node = Node::start();
    let (one, two, peer) = (Namespace::new("pod"), Namespace::new("pod"), Namespace::new("pod"));
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        let mut first = port(1, &one);
        apply(&agent, &first).await.unwrap();
        apply(&agent, &port(3, &peer)).await.unwrap();
        let remember = |mac: &str| {
            let [address, link] = ["10.1.0.1", "eth1"];
            let entry =
                ["neigh", "replace", address, "dev", link, "lladdr", mac, "nud", "reachable"];
            peer.run("ip", entry);
        };
        let remembered = || peer.run("ip", ["neigh", "show", "10.1.0.1"]);
        delete(&agent, "l2p-1").await;
        let mut second = port(2, &two);
        let address = namespace_of(&mut first).address.clone();
        namespace_of(&mut second).address = address;
        apply(&agent, &second).await.unwrap();
        let mac = namespace_of(&mut second).mac.clone();
        // What the peer may have learnt by now is forgotten again.
        remember("02:00:00:00:00:01");
        announce(&agent, &second).await.unwrap();
        eventually("the peer learns", || remembered().contains(&mac)).await;

        let gone = announce(&agent, &first).await.unwrap_err();
        assert_eq!(gone.code(), Code::NotFound, "{gone}");
    });
}

/// As an IPv6 host does that has changed (RFC 4861, sections 4.4 and 7.2.6): an unsolicited neighbor
/// advertisement to all nodes that overrides what they know.
#[test]
fn an_ipv6_address_is_advertised_unasked() {
    let node = Node::start();
    let (one, peer) = (Namespace::new("pod"), Namespace::new("pod"));
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        let [mut first, mut second] = [port(1, &one), port(2, &peer)];
        namespace_of(&mut first).address = "fd00:1::1/64".to_owned();
        namespace_of(&mut second).address = "fd00:1::2/64".to_owned();
        for port in [&first, &second] {
            apply(&agent, port).await.unwrap();
        }
        let advertisements = Advertisements::watch(&peer);
        announce(&agent, &first).await.unwrap();
        let fields = advertisements.next_of("fd00:1::1");
        let expected = [
            ("eth.src", "02:00:00:00:00:01"),
            ("eth.dst", "33:33:00:00:00:01"),
            ("ipv6.dst", "ff02::1"),
            ("ipv6.hlim", "255"),
            ("icmpv6.type", "136"),
            ("icmpv6.checksum.status", "1"),
            ("icmpv6.nd.na.flag.r", "0"),
            ("icmpv6.nd.na.flag.s", "0"),
            ("icmpv6.nd.na.flag.o", "1"),
            ("icmpv6.nd.na.target_address", "fd00:1::1"),
            ("icmpv6.opt.type", "2"),
            ("icmpv6.opt.linkaddr", "02:00:00:00:00:01"),
            ("_ws.malformed", ""),
        ];
        let expected = expected.map(|(field, value)| (field.to_owned(), value.to_owned()));
        assert_eq!(fields, expected);
    });
}

#[test]
fn an_interface_is_added_and_given_back() {
    let node = Node::start();
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        add_interface("tap0");
        let wanted = api::Port {
            interface_name: "tap0".to_owned(),
            owner: "s/n/vm".to_owned(),
            attachment: Some(api::port::Attachment::Interface(api::InterfaceAttachment {})),
        };
        let state = apply(&agent, &wanted).await.unwrap();
        assert!(works(&state), "{state:?}");
        assert_eq!(apply(&agent, &wanted).await.unwrap(), state);
        assert_eq!(node.vsctl(["iface-to-br", "tap0"]), "br-sps");
        delete(&agent, "tap0").await;
        assert_eq!(node.count("Interface"), BARE, "those of the bridge");
        assert!(node.namespace.link("tap0").is_some());
    });
}

#[test]
fn a_pod_that_was_made_again_is_attached_again() {
    let node = Node::start();
    let (one, two) = (Namespace::new("pod"), Namespace::new("pod"));
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        apply(&agent, &port(1, &one)).await.unwrap();
        apply(&agent, &port(2, &two)).await.unwrap();
        assert!(one.pings("10.1.0.2"));

        one.remove();
        eventually("the pod's interface goes", || node.namespace.link("l2p-1").is_none()).await;
        let refused = apply(&agent, &port(1, &one)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
        one.make();
        let state = apply(&agent, &port(1, &one)).await.unwrap();
        assert!(works(&state), "{state:?}");
        assert!(one.pings("10.1.0.2"));

        // The old namespace lives on, without its name, because a process is in it.
        let mut sleeper = one.command("sleep").arg("600").spawn().unwrap();
        eventually("the process is in the pod", || {
            let pids = run("ip", ["netns", "pids", &one.name]);
            pids.lines().any(|pid| pid == sleeper.id().to_string())
        })
        .await;
        one.remove();
        one.make();
        let state = apply(&agent, &port(1, &one)).await;
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        let state = state.unwrap();
        assert!(works(&state), "{state:?}");
        assert!(one.pings("10.1.0.2"));
        assert_eq!(node.count("Interface"), BARE + 2);
    });
}

#[test]
fn what_a_killed_agent_left_is_completed_or_removed() {
    let node = Node::start();
    let (one, two) = (Namespace::new("pod"), Namespace::new("pod"));
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        apply(&agent, &port(2, &two)).await.unwrap();
        // Killed after the pair was made: as the kernel leaves it, before anything else was set.
        let half_made = || {
            let group = node.namespace.link("l2p-2").unwrap()["group"].as_str().unwrap().to_owned();
            let mut pair = vec!["link", "add", "l2p-1", "group", &group, "type", "veth"];
            pair.extend(["peer", "name", "eth1", "netns", &one.name]);
            assert!(std::process::Command::new("ip").args(pair).status().unwrap().success());
        };
        half_made();
        let state = apply(&agent, &port(1, &one)).await.unwrap();
        assert!(works(&state), "{state:?}");
        assert!(one.pings("10.1.0.2"));
        // Killed after the port was taken off the bridge, before the pair was removed.
        node.vsctl(["del-port", "br-sps", "l2p-1"]);
        delete(&agent, "l2p-1").await;
        assert!(node.namespace.link("l2p-1").is_none());
        half_made();
        agent.delete_switch(Request::new(DeleteSwitchRequest {})).await.unwrap();
        assert!(node.namespace.link("l2p-1").is_none());
        assert!(one.link("eth1").is_none());
    });
}

#[test]
fn a_hundred_ports_at_once() {
    let node = Node::start();
    let pods: Vec<_> = (0..100).map(|_| Namespace::new("pod")).collect();
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        let ports: Vec<_> = (1..).zip(&pods).map(|(number, pod)| port(number, pod)).collect();
        // While Open vSwitch stands still, half of them are asked of it: none waits for another.
        let asked = || node.column("Open_vSwitch", ".", "next_cfg").parse::<u64>().unwrap();
        let before = asked();
        node.signal_switch("STOP");
        let half_asked = async {
            eventually("half of the ports are asked for", || asked() >= before + 50).await;
            node.signal_switch("CONT");
        };
        let applied = join_all(ports.iter().map(|port| apply(&agent, port)));
        let (states, ()) = tokio::join!(applied, half_asked);
        for state in states {
            assert!(works(state.as_ref().unwrap()), "{state:?}");
        }
        assert_eq!(node.count("Interface"), BARE + 100);
        assert!(pods[0].pings("10.1.0.100"));
        let names: Vec<_> = ports.iter().map(|port| port.interface_name.as_str()).collect();
        join_all(names.iter().map(|name| delete(&agent, name))).await;
        assert_eq!(node.count("Interface"), BARE, "those of the bridge");
    });
}

#[test]
fn the_same_port_at_the_same_time_is_made_once() {
    let node = Node::start();
    let pod = Namespace::new("pod");
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        let port = port(1, &pod);
        let states = join_all((0..8).map(|_| apply(&agent, &port))).await;
        let first = states[0].as_ref().unwrap();
        assert!(works(first), "{first:?}");
        assert!(states.iter().all(|state| state.as_ref().unwrap() == first), "{states:?}");
    });
}

type Reports = <SwitchApi as api::switch_service_server::SwitchService>::WatchPortsStream;

async fn watch(agent: &SwitchApi) -> Reports {
    agent.watch_ports(Request::new(WatchPortsRequest {})).await.unwrap().into_inner()
}

async fn next(reports: &mut Reports) -> (ChangeKind, String) {
    let report = timeout(PATIENCE, reports.next()).await.unwrap().unwrap().unwrap();
    let WatchPortsResponse { state, .. } = &report;
    let name = state.as_ref().map(|state| state.interface_name.clone());
    (report.kind(), name.unwrap_or_default())
}

#[test]
fn watchers_learn_what_is_and_what_changes() {
    let node = Node::start();
    let pod = Namespace::new("pod");
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        apply(&agent, &port(1, &pod)).await.unwrap();
        let mut reports = watch(&agent).await;
        assert_eq!(next(&mut reports).await, (ChangeKind::Put, "l2p-1".to_owned()));
        assert_eq!(next(&mut reports).await, (ChangeKind::Synced, String::new()));

        pod.remove();
        let down = loop {
            let report = timeout(PATIENCE, reports.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(report.kind(), ChangeKind::Put);
            if !report.state.as_ref().unwrap().error.is_empty() {
                break report.state.unwrap();
            }
        };
        assert_eq!(down.owner, "s/n/p1");
        delete(&agent, "l2p-1").await;
        let deleted = (ChangeKind::Deleted, "l2p-1".to_owned());
        while next(&mut reports).await != deleted {}
    });
}

#[test]
fn a_watcher_that_is_too_slow_is_sent_away() {
    let node = Node::start();
    node.block_on(async {
        let agent = agent_with_bridge(&node).await;
        let mut reports = watch(&agent).await;
        assert_eq!(next(&mut reports).await, (ChangeKind::Synced, String::new()));
        let client = Client::start(Config::new(node.ovsdb().parse().unwrap(), "Open_vSwitch"));
        timeout(PATIENCE, client.connected()).await.unwrap();
        // Rows of a table that the agent monitors and of which Open vSwitch makes nothing.
        let manager = |number: u32| {
            let row = Row::new().with("target", format!("none:{number}"));
            Operation::insert_named("Manager", format!("m{number}"), row)
        };
        let mut flood: Vec<_> = (0..5_000).map(manager).collect();
        let names = Value::set((0..5_000).map(|number| Atom::NamedUuid(format!("m{number}"))));
        let references = Mutation::new("manager_options", Mutator::Insert, names);
        flood.push(Operation::mutate("Open_vSwitch", [], [references]));
        client.transact(&flood).await.unwrap();
        add_interface("tap0");
        let tap = api::Port {
            interface_name: "tap0".to_owned(),
            owner: "s/n/vm".to_owned(),
            attachment: Some(api::port::Attachment::Interface(api::InterfaceAttachment {})),
        };
        apply(&agent, &tap).await.unwrap();
        let end = timeout(PATIENCE, reports.next()).await.unwrap().unwrap().unwrap_err();
        assert_eq!(end.code(), Code::ResourceExhausted, "{end}");
        assert!(timeout(PATIENCE, reports.next()).await.unwrap().is_none());
    });
}
