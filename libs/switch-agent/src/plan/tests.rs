use std::num::NonZeroU32;

use l2sces_model::DatapathId;
use l2sces_ovsdb::{Condition, Mutation, Mutator, Operation, Row, Tables, Uuid, Value};

use super::*;
use crate::{
    AgentError, AgentKind, DatapathType, Link, Switch, TlsFiles, Trunk,
    database::{self, Identity},
    marks::{Object, marks},
};

const ROOT: Uuid = Uuid::from_u128(1);
const BRIDGE: Uuid = Uuid::from_u128(2);
const CONTROLLER: Uuid = Uuid::from_u128(3);
const SSL: Uuid = Uuid::from_u128(4);

fn identity() -> Identity {
    Identity { kind: AgentKind::Sps, bridge: "br-sps".to_owned() }
}

fn empty() -> Tables {
    let config = database::config("unix:/nowhere".parse().unwrap());
    let mut tables = Tables::new(&config.tables);
    tables.put("Open_vSwitch", ROOT, Row::new().with("ssl", Value::none()));
    tables
}

/// As the operations for `switch()` leave it.
fn applied() -> Tables {
    let mut tables = empty();
    tables.put("Bridge", BRIDGE, bridge_row());
    tables.put("Controller", CONTROLLER, controller_row("tcp:10.0.0.9:6653"));
    put_port(&mut tables, 10, "l2v-1", Object::Link, tunnel_row());
    let trunk = Row::new().with("type", "patch").with("options", Value::map([("peer", "l2t-ned")]));
    put_port(&mut tables, 12, "l2t-sps", Object::Trunk, trunk);
    let listener = [("remote_ip", "flow"), ("key", "flow"), ("dst_port", "7000")];
    let listener = Row::new().with("type", "geneve").with("options", Value::map(listener));
    put_port(&mut tables, 14, "l2u-sps", Object::Listener, listener);
    tables
}

fn tunnel_row() -> Row {
    let options = [
        ("remote_ip", "10.0.0.2"),
        ("local_ip", "10.0.0.1"),
        ("key", "flow"),
        ("dst_port", "7000"),
    ];
    let bfd = [("enable", "true"), ("min_tx", "200"), ("min_rx", "200")];
    Row::new()
        .with("type", "geneve")
        .with("options", Value::map(options))
        .with("bfd", Value::map(bfd))
}

fn bridge_row() -> Row {
    Row::new()
        .with("name", "br-sps")
        .with("datapath_type", "netdev")
        .with("fail_mode", "secure")
        .with("protocols", "OpenFlow13")
        .with(
            "other_config",
            Value::map([
                ("datapath-id", "000000000000002a"),
                ("disable-in-band", "true"),
                ("somebody-elses", "key"),
            ]),
        )
        .with("controller", CONTROLLER)
        .with("external_ids", marks(AgentKind::Sps, Object::Bridge))
}

fn controller_row(target: &str) -> Row {
    Row::new()
        .with("target", target)
        .with("connection_mode", "out-of-band")
        .with("inactivity_probe", 5_000)
        .with("max_backoff", 1_000)
}

fn put_port(tables: &mut Tables, number: u128, name: &str, object: Object, interface: Row) {
    let row = Row::new().with("name", name).with("external_ids", marks(AgentKind::Sps, object));
    tables.put("Port", Uuid::from_u128(number), row);
    let interface =
        interface.with("name", name).with("external_ids", marks(AgentKind::Sps, object));
    tables.put("Interface", Uuid::from_u128(number + 1), interface);
}

fn switch() -> Switch {
    Switch {
        datapath_id: DatapathId::try_from(42).unwrap(),
        controllers: vec!["tcp:10.0.0.9:6653".parse().unwrap()],
        links: vec![link("l2v-1", "10.0.0.2")],
        trunk: Some(Trunk {
            interface: "l2t-sps".parse().unwrap(),
            peer: "l2t-ned".parse().unwrap(),
        }),
    }
}

fn link(interface: &str, remote: &str) -> Link {
    Link {
        interface: interface.parse().unwrap(),
        remote: remote.parse().unwrap(),
        local: "10.0.0.1".parse().unwrap(),
        udp_port: 7000,
        bfd_interval_ms: NonZeroU32::new(200),
    }
}

fn plan_with(
    tables: &Tables,
    switch: &Switch,
    tls: Option<&TlsFiles>,
    exists: bool,
) -> Result<Plan, AgentError> {
    plan_on(DatapathType::Netdev, tables, switch, tls, exists)
}

fn plan_on(
    datapath_type: DatapathType,
    tables: &Tables,
    switch: &Switch,
    tls: Option<&TlsFiles>,
    exists: bool,
) -> Result<Plan, AgentError> {
    let identity = identity();
    let wanted = Wanted { identity: &identity, datapath_type, switch, tls, exists: &|_| exists };
    apply_switch(tables, &wanted)
}

fn plan(tables: &Tables, switch: &Switch) -> Vec<Operation> {
    plan_with(tables, switch, None, true).unwrap().operations
}

/// The operations after the check that the bridge is still there.
fn changes(tables: &Tables, switch: &Switch) -> Vec<Operation> {
    let mut operations = plan(tables, switch);
    assert_eq!(operations.remove(0), expect_bridge(BRIDGE, "br-sps"));
    operations
}

fn update_of(table: &str, uuid: Uuid, row: Row) -> Operation {
    Operation::update(table, [Condition::uuid(uuid)], row)
}

fn taken_off(port: u128) -> Operation {
    let ports = Mutation::new("ports", Mutator::Delete, Uuid::from_u128(port));
    Operation::mutate("Bridge", [Condition::uuid(BRIDGE)], [ports])
}

#[test]
fn nothing_is_done_when_nothing_differs() {
    assert_eq!(plan_with(&applied(), &switch(), None, true).unwrap(), Plan::default());
}

#[test]
fn a_new_bridge_has_its_controllers_from_the_beginning() {
    let plan = plan_with(&empty(), &switch(), None, true).unwrap();
    let bridge = plan.operations.iter().find_map(|operation| match operation {
        Operation::Insert { table, row, .. } if table == "Bridge" => Some(row),
        _ => None,
    });
    let bridge = bridge.unwrap();
    assert_eq!(bridge.get("controller"), Some(&Value::named("controller0")));
    assert_eq!(bridge.string("fail_mode"), Some("secure"));
    assert_eq!(bridge.map_string("other_config", "datapath-id"), Some("000000000000002a"));
    assert_eq!(plan.new_links, [("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap())]);
}

#[test]
fn an_exchanged_controller_leaves_no_moment_without_one() {
    let mut switch = switch();
    switch.controllers = vec!["tcp:10.0.0.8:6653".parse().unwrap()];
    let row = controller_row("tcp:10.0.0.8:6653")
        .with("external_ids", marks(AgentKind::Sps, Object::Controller));
    assert_eq!(
        changes(&applied(), &switch),
        [
            Operation::insert_named("Controller", "controller0", row),
            update_of("Bridge", BRIDGE, Row::new().with("controller", Value::named("controller0"))),
        ]
    );
}

#[test]
fn a_controller_that_stays_keeps_its_row() {
    let mut switch = switch();
    switch.controllers.push("tcp:10.0.0.8:6653".parse().unwrap());
    let operations = changes(&applied(), &switch);
    let both = [CONTROLLER.into(), l2sces_ovsdb::Atom::NamedUuid("controller1".to_owned())];
    assert_eq!(
        operations.last(),
        Some(&update_of("Bridge", BRIDGE, Row::new().with("controller", Value::set(both))))
    );
    assert_eq!(operations.len(), 2, "{operations:?}");
}

#[test]
fn only_the_keys_that_differ_are_set() {
    let mut switch = switch();
    switch.datapath_id = DatapathId::try_from(43).unwrap();
    let mutations = [
        Mutation::new("other_config", Mutator::Delete, "datapath-id"),
        Mutation::new(
            "other_config",
            Mutator::Insert,
            Value::map([("datapath-id", "000000000000002b")]),
        ),
    ];
    assert_eq!(
        changes(&applied(), &switch),
        [Operation::mutate("Bridge", [Condition::uuid(BRIDGE)], mutations)]
    );
}

#[test]
fn links_and_trunk_that_are_not_wanted_are_removed_and_ports_are_not() {
    let mut tables = applied();
    put_port(&mut tables, 20, "l2p-1", Object::Port, Row::new());
    let mut switch = switch();
    switch.links.clear();
    switch.trunk = None;
    assert_eq!(changes(&tables, &switch), [taken_off(12), taken_off(10)]);
}

#[test]
fn only_the_userspace_datapath_keeps_the_port_of_tunnels_open() {
    let kernel = |tables: &Tables| {
        let plan = plan_on(DatapathType::System, tables, &switch(), None, true).unwrap();
        plan.operations
    };
    let names = |operations: &[Operation]| -> Vec<String> {
        let name = |operation: &Operation| match operation {
            Operation::Insert { table, row, .. } if table == "Interface" => {
                row.string("name").map(str::to_owned)
            }
            _ => None,
        };
        operations.iter().filter_map(name).collect()
    };
    assert_eq!(names(&plan(&empty(), &switch())), ["br-sps", "l2v-1", "l2t-sps", "l2u-sps"]);
    assert_eq!(names(&kernel(&empty())), ["br-sps", "l2v-1", "l2t-sps"]);
    assert!(kernel(&applied()).contains(&taken_off(14)));
}

#[test]
fn a_link_that_leads_elsewhere_is_changed_in_place() {
    let row = changed_link(&applied(), link("l2v-1", "10.0.0.3"));
    assert_eq!(row.map_string("options", "remote_ip"), Some("10.0.0.3"));
    assert_eq!((row.get("type"), row.get("bfd")), (None, None));
}

/// The columns of its interface that are set for a link.
fn changed_link(tables: &Tables, wanted: Link) -> Row {
    let mut switch = switch();
    switch.links = vec![wanted];
    let [Operation::Update { table, row, .. }] = &changes(tables, &switch)[..] else {
        panic!("not one update");
    };
    assert_eq!(table, "Interface");
    row.clone()
}

#[test]
fn how_a_link_is_watched_is_changed_in_place() {
    let mut wanted = link("l2v-1", "10.0.0.2");
    wanted.bfd_interval_ms = NonZeroU32::new(50);
    let faster = Value::map([("enable", "true"), ("min_tx", "50"), ("min_rx", "50")]);
    assert_eq!(changed_link(&applied(), wanted.clone()), Row::new().with("bfd", faster));
    wanted.bfd_interval_ms = None;
    let never = Value::map::<&str, &str>([]);
    assert_eq!(changed_link(&applied(), wanted), Row::new().with("bfd", never));
}

#[test]
fn a_tunnel_of_the_type_that_former_versions_made_is_replaced() {
    let mut tables = applied();
    put_port(&mut tables, 10, "l2v-1", Object::Link, tunnel_row().with("type", "vxlan"));
    let row = changed_link(&tables, link("l2v-1", "10.0.0.2"));
    assert_eq!(row, Row::new().with("type", "geneve"));
}

#[test]
fn what_is_not_marked_is_never_touched() {
    let mut tables = applied();
    let unmarked = bridge_row().with("external_ids", Value::map::<&str, &str>([]));
    tables.put("Bridge", BRIDGE, unmarked);
    let refused = plan_with(&tables, &switch(), None, true);
    assert!(matches!(refused, Err(AgentError::ForeignBridge(_))), "{refused:?}");
    assert_eq!(delete_switch(&tables, &identity()), []);

    let mut tables = applied();
    put_port(&mut tables, 20, "l2v-2", Object::Port, Row::new());
    let mut switch = switch();
    switch.links.push(link("l2v-2", "10.0.0.3"));
    let refused = plan_with(&tables, &switch, None, true);
    assert!(matches!(refused, Err(AgentError::ForeignInterface { .. })), "{refused:?}");
}

fn files() -> TlsFiles {
    TlsFiles { ca: "/ca".to_owned(), cert: "/cert".to_owned(), key: "/key".to_owned() }
}

fn ssl_row(key: &str) -> Row {
    Row::new().with("private_key", key).with("certificate", "/cert").with("ca_cert", "/ca")
}

fn with_certificate(row: Row) -> Tables {
    let mut tables = applied();
    tables.put("Controller", CONTROLLER, controller_row("ssl:10.0.0.9:6653"));
    tables.put("Open_vSwitch", ROOT, Row::new().with("ssl", SSL));
    tables.put("SSL", SSL, row);
    tables
}

fn secure_switch() -> Switch {
    let mut switch = switch();
    switch.controllers = vec!["ssl:10.0.0.9:6653".parse().unwrap()];
    switch
}

#[test]
fn the_certificate_is_set_once_and_not_fought_over() {
    let insert = |plan: &Plan| {
        plan.operations
            .iter()
            .any(|operation| matches!(operation, Operation::Insert { table, .. } if table == "SSL"))
    };
    let plan = |tables: &Tables, exists| {
        plan_with(tables, &secure_switch(), Some(&files()), exists).unwrap()
    };
    assert!(insert(&plan(&applied(), true)), "there is none");

    let others = |kind| ssl_row("/others").with("external_ids", marks(kind, Object::Certificate));
    let neds = with_certificate(others(AgentKind::Ned));
    assert_eq!(plan(&neds, true), Plan::default(), "the other agent's");
    assert!(insert(&plan(&neds, false)), "the other agent's, whose files are gone");
    let operators = with_certificate(ssl_row("/others"));
    assert_eq!(plan(&operators, true), Plan::default(), "the operator's");

    let own = with_certificate(others(AgentKind::Sps));
    let operations = plan(&own, true).operations;
    assert!(
        operations.contains(&update_of("SSL", SSL, Row::new().with("private_key", "/key"))),
        "its own, which it keeps up to date: {operations:?}"
    );
}

#[test]
fn without_a_certificate_there_is_no_tls() {
    let refused = plan_with(&applied(), &secure_switch(), None, true);
    assert!(matches!(refused, Err(AgentError::NoCertificate)), "{refused:?}");
    let operators = with_certificate(ssl_row("/key"));
    assert_eq!(plan_with(&operators, &secure_switch(), None, true).unwrap(), Plan::default());
}

#[test]
fn the_certificate_goes_with_the_last_bridge_that_needs_it() {
    let withdraw = Operation::update(
        "Open_vSwitch",
        [Condition::equal("ssl", SSL)],
        Row::new().with("ssl", Value::none()),
    );
    let withdraws = |tables: &Tables| delete_switch(tables, &identity()).contains(&withdraw);
    let own = ssl_row("/key").with("external_ids", marks(AgentKind::Sps, Object::Certificate));
    let mut tables = with_certificate(own);
    assert!(withdraws(&tables));
    assert!(!withdraws(&with_certificate(ssl_row("/key"))), "the operator's");
    tables.put("Controller", Uuid::from_u128(5), controller_row("ssl:10.0.0.9:6654"));
    assert!(!withdraws(&tables), "another bridge needs it");
    tables.put("Controller", Uuid::from_u128(5), controller_row("tcp:10.0.0.9:6653"));
    assert!(withdraws(&tables));
    let known = ["ssl:10.0.0.9:6653", "tcp:10.0.0.9:6653"].map(|it| Row::new().with("target", it));
    let is_expected = |operation: &Operation| match operation {
        Operation::Wait { table, rows, .. } => {
            table == "Controller" && known.iter().all(|row| rows.contains(row)) && rows.len() == 2
        }
        _ => false,
    };
    let operations = delete_switch(&tables, &identity());
    assert!(operations.iter().any(is_expected), "nobody else needs it: {operations:?}");
}
