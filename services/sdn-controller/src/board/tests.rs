use l2sces_model::InterfaceName;

use super::*;
use crate::{
    domain::{Attachment, NodeSpec, Reason},
    examples,
};

fn node() -> Node {
    Node {
        spec: NodeSpec {
            name: "n1".parse().unwrap(),
            version: Version { uid: "node".into(), generation: 1 },
            underlay_address: "10.0.0.1".parse().unwrap(),
            agent_endpoint: "http://10.0.0.1:50053".into(),
            gateway: false,
        },
        ordinal: 1,
        datapath_id: 7.try_into().unwrap(),
        deleting: false,
        forced: false,
        former_gateway: false,
        origin: None,
    }
}

fn port() -> Port {
    Port {
        key: "s/n/p".parse().unwrap(),
        version: Version { uid: "port".into(), generation: 1 },
        node: "n1".parse().unwrap(),
        attachment: Attachment::Interface { name: "tap0".parse().unwrap() },
        interface_name: "tap0".parse::<InterfaceName>().unwrap(),
        mac: "02:00:00:00:00:01".parse().unwrap(),
        address: None,
        chose_prefix: false,
        alias: None,
        max_learned: 0,
        deleting: false,
        introduced: false,
        origin: None,
        vni: 5.try_into().unwrap(),
        mtu: 1438,
        datapath_id: 7.try_into().unwrap(),
        agent_endpoint: "http://10.0.0.1:50053".into(),
        node_forced: false,
    }
}

fn reason(board: &Board, key: &Key) -> Option<Reason> {
    board.state(key).unwrap().condition.err().map(|trouble| trouble.reason)
}

#[test]
fn a_port_is_ready_when_made_and_live_and_announced_and_says_what_is_missing_first() {
    let board = Board::new();
    board.put_node(&node());
    board.put_port(&port());
    let key = port().key;
    let object = Key::Port(key.clone());
    assert_eq!(reason(&board, &object), Some(Reason::Pending));
    board.change_port(&key, |facts| facts.agent = Fact::Done(Default::default()));
    assert_eq!(reason(&board, &object), Some(Reason::SwitchNotConnected));
    board.set_switch(node().datapath_id, Ok(()));
    assert_eq!(reason(&board, &object), Some(Reason::WaitingForSwitch));
    board.change_port(&key, |facts| facts.flows = Fact::Done(()));
    assert_eq!(reason(&board, &object), Some(Reason::NotAnnounced));
    board.change_port(&key, |facts| facts.announcement = Fact::Done(Default::default()));
    assert_eq!(reason(&board, &object), None);
    // Its flows are live, whether or not the controller sees the switch.
    board.set_switch(node().datapath_id, Err("gone".into()));
    assert_eq!(reason(&board, &object), None);
}

#[test]
fn watchers_hear_of_changes_only_and_once() {
    let board = Board::new();
    board.put_node(&node());
    let (states, mut changes) = board.watch();
    assert_eq!(states.len(), 1);
    board.put_node(&node());
    board.set_agent(&node().spec.name, Fact::Unknown);
    assert!(changes.try_recv().is_err());
    board.set_agent(&node().spec.name, Fact::Done(()));
    let Change::Put(state) = changes.try_recv().unwrap().what else { panic!("not put") };
    assert_eq!(state.condition.unwrap_err().reason, Reason::SwitchNotConnected);
    assert!(changes.try_recv().is_err());
}

/// Puts an object that is to be removed, has it removed, and takes note of it late.
fn note_late<T>(
    key: &Key,
    marked: &T,
    version: &Version,
    put: impl Fn(&Board, &T),
    note: impl Fn(&Board, &T),
) {
    let board = Board::new();
    put(&board, marked);
    note(&board, marked);
    assert_eq!(reason(&board, key), Some(Reason::Deleting));
    board.remove(key, version);
    let (_, mut changes) = board.watch();
    note(&board, marked);
    assert!(board.state(key).is_none(), "{key}");
    assert!(changes.try_recv().is_err(), "{key}");
}

#[test]
fn what_has_been_removed_does_not_come_back_by_being_noted_late() {
    let port = Port { deleting: true, ..port() };
    let key = Key::Port(port.key.clone());
    note_late(&key, &port, &port.version, Board::put_port, Board::note_port);
    let node = Node { deleting: true, ..node() };
    let key = Key::Node(node.spec.name.clone());
    note_late(&key, &node, &node.spec.version, Board::put_node, Board::note_node);
    let (slice, network) = (deleted_slice(), deleted_network());
    let key = Key::Slice(slice.spec.name.clone());
    note_late(&key, &slice, &slice.spec.version, Board::put_slice, Board::note_slice);
    let key = Key::Network(network.spec.key.clone());
    note_late(&key, &network, &network.spec.version, Board::put_network, Board::note_network);
}

fn deleted_slice() -> Slice {
    Slice {
        spec: examples::slice("s1", &["n1"]),
        ordinal: 1,
        topology: 1,
        deleting: true,
        origin: None,
    }
}

fn deleted_network() -> Network {
    Network { spec: examples::network("n", 5, ""), deleting: true, origin: None }
}

#[test]
fn removing_an_old_life_leaves_the_new_one() {
    let board = Board::new();
    let key = Key::Node(node().spec.name);
    let mut reborn = node();
    reborn.spec.version.uid = "second".into();
    board.put_node(&reborn);
    board.remove(&key, &node().spec.version);
    assert!(board.state(&key).is_some());
    let (_, mut changes) = board.watch();
    board.remove(&key, &reborn.spec.version);
    assert!(board.state(&key).is_none());
    let deleted = Change::Deleted { key, version: reborn.spec.version };
    assert_eq!(changes.try_recv().unwrap().what, deleted);
}
