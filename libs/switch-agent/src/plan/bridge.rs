use std::collections::BTreeSet;

use l2sces_ovsdb::{Atom, Mutation, Mutator, Operation, Row, Tables, Uuid, Value};

use super::{Plan, certificate, expect_bridge, insert_port, merge, take_port_off, update};
use crate::{
    ControllerTarget, DatapathType, Link, Switch, TlsFiles, Trunk,
    database::Identity,
    error::AgentError,
    marks::{Object, is_marked, marks},
};

/// Longest pause of Open vSwitch between two attempts to reach a controller, in milliseconds; the
/// default reaches 8 s.
const MAX_BACKOFF: i64 = 1_000;

/// After this silence, in milliseconds, Open vSwitch asks a controller whether it lives, and after
/// as much again connects anew.
const INACTIVITY_PROBE: i64 = 5_000;

/// Everything that decides how the bridge is to look.
pub(crate) struct Wanted<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) datapath_type: DatapathType,
    pub(crate) switch: &'a Switch,
    /// The agent's certificate, for controllers that are reached by TLS.
    pub(crate) tls: Option<&'a TlsFiles>,
    /// Whether a file exists.
    pub(crate) exists: &'a (dyn Fn(&str) -> bool + Sync),
}

impl Wanted<'_> {
    /// Whether the UDP port of tunnels must be kept open by an interface of its own.
    ///
    /// What comes to a UDP port without a tunnel, the userspace datapath hands to the host. When
    /// there is a tunnel again, Open vSwitch 3.1 may change another cached flow than that one, which
    /// then stays as long as frames come: the tunnel is deaf to that peer. With a tunnel to nobody in
    /// particular, the port is never without one. What comes by it has no flow, and is dropped.
    fn needs_listener(&self) -> bool {
        self.datapath_type == DatapathType::Netdev
    }
}

/// Makes the bridge as wanted.
///
/// # Errors
/// A name is somebody else's, or there is no certificate for TLS.
pub(crate) fn apply_switch(tables: &Tables, wanted: &Wanted<'_>) -> Result<Plan, AgentError> {
    let mut plan = Plan::default();
    let ssl = |target: &ControllerTarget| matches!(target, ControllerTarget::Ssl(_));
    if wanted.switch.controllers.iter().any(ssl) {
        let kind = wanted.identity.kind;
        plan.operations.extend(certificate::provide(tables, kind, wanted.tls, wanted.exists)?);
    }
    let existing = wanted.identity.find_bridge(tables)?;
    let bridge = match existing {
        Some((uuid, row)) => {
            change_bridge(&mut plan, tables, wanted, uuid, row);
            remove_unwanted(&mut plan, tables, wanted, uuid);
            Value::from(uuid)
        }
        None => {
            make_bridge(&mut plan, wanted);
            Value::named("bridge")
        }
    };
    for (number, link) in wanted.switch.links.iter().enumerate() {
        let is_new = put_interface(
            &mut plan,
            tables,
            wanted.identity,
            &bridge,
            Interface {
                object: Object::Link,
                name: link.interface.as_str(),
                label: format!("link{number}"),
                columns: link_columns(link),
            },
        )?;
        if is_new {
            plan.new_links.push((link.local, link.remote));
        }
    }
    if let Some(trunk) = &wanted.switch.trunk {
        let interface = Interface {
            object: Object::Trunk,
            name: trunk.interface.as_str(),
            label: "trunk".to_owned(),
            columns: trunk_columns(trunk),
        };
        put_interface(&mut plan, tables, wanted.identity, &bridge, interface)?;
    }
    if wanted.needs_listener() {
        let interface = Interface {
            object: Object::Listener,
            name: wanted.identity.kind.listener(),
            label: "listener".to_owned(),
            columns: listener_columns(wanted.identity.kind.tunnel_udp_port()),
        };
        put_interface(&mut plan, tables, wanted.identity, &bridge, interface)?;
    }
    if let Some((uuid, _)) = existing
        && !plan.operations.is_empty()
    {
        plan.operations.insert(0, expect_bridge(uuid, &wanted.identity.bridge));
    }
    Ok(plan)
}

/// Removes the bridge, and the certificate if nobody needs it any more. Empty if there is no
/// bridge of the agent's.
pub(crate) fn delete_switch(tables: &Tables, identity: &Identity) -> Vec<Operation> {
    let Ok(Some((bridge, row))) = identity.find_bridge(tables) else { return Vec::new() };
    let mut operations = vec![Operation::mutate(
        "Open_vSwitch",
        [],
        [Mutation::new("bridges", Mutator::Delete, bridge)],
    )];
    let controllers: BTreeSet<_> = row.uuids("controller").collect();
    operations.extend(certificate::withdraw(tables, &controllers).into_iter().flatten());
    operations
}

fn bridge_columns(wanted: &Wanted<'_>) -> Row {
    Row::new()
        .with("datapath_type", wanted.datapath_type.as_str())
        .with("fail_mode", "secure")
        .with("protocols", "OpenFlow13")
}

fn make_bridge(plan: &mut Plan, wanted: &Wanted<'_>) {
    let (kind, name) = (wanted.identity.kind, &wanted.identity.bridge);
    let datapath_id = wanted.switch.datapath_id.to_string();
    let mut controllers = BTreeSet::new();
    // With its controllers from the beginning: going from none to one empties the flow tables.
    for (number, target) in wanted.switch.controllers.iter().enumerate() {
        controllers.insert(insert_controller(plan, wanted, number, target));
    }
    let bridge = bridge_columns(wanted)
        .with("name", name.as_str())
        .with(
            "other_config",
            Value::map([("datapath-id", datapath_id.as_str()), ("disable-in-band", "true")]),
        )
        .with("controller", Value::Set(controllers))
        .with("external_ids", marks(kind, Object::Bridge));
    plan.operations.push(Operation::insert_named("Bridge", "bridge", bridge));
    // The port of the bridge itself, which every bridge has.
    let local = Row::new().with("name", name.as_str());
    let internal = local.clone().with("type", "internal");
    plan.operations.extend(insert_port(Value::named("bridge"), "local", local, internal));
    plan.operations.push(Operation::mutate(
        "Open_vSwitch",
        [],
        [Mutation::new("bridges", Mutator::Insert, Value::named("bridge"))],
    ));
}

fn change_bridge(plan: &mut Plan, tables: &Tables, wanted: &Wanted<'_>, uuid: Uuid, row: &Row) {
    plan.operations.extend(update("Bridge", uuid, row, &bridge_columns(wanted)));
    let datapath_id = wanted.switch.datapath_id.to_string();
    let config = [("datapath-id", datapath_id.as_str()), ("disable-in-band", "true")];
    plan.operations.extend(merge("Bridge", uuid, row, "other_config", &config));

    // Kept where the target is the same; otherwise exchanged in one step, so that there is no
    // moment without a controller, which would empty the flow tables.
    let current: Vec<(Uuid, &Row)> = row
        .uuids("controller")
        .filter_map(|uuid| Some((uuid, &**tables.row("Controller", uuid)?)))
        .collect();
    let mut controllers = BTreeSet::new();
    for (number, target) in wanted.switch.controllers.iter().enumerate() {
        let text = target.to_string();
        let same = current.iter().find(|(_, row)| row.string("target") == Some(text.as_str()));
        let controller = match same {
            Some((uuid, row)) => {
                plan.operations.extend(update("Controller", *uuid, row, &controller_columns()));
                Atom::from(*uuid)
            }
            None => insert_controller(plan, wanted, number, target),
        };
        controllers.insert(controller);
    }
    let controllers = Row::new().with("controller", Value::Set(controllers));
    plan.operations.extend(update("Bridge", uuid, row, &controllers));
}

fn controller_columns() -> Row {
    Row::new()
        .with("connection_mode", "out-of-band")
        .with("inactivity_probe", INACTIVITY_PROBE)
        .with("max_backoff", MAX_BACKOFF)
}

fn insert_controller(
    plan: &mut Plan,
    wanted: &Wanted<'_>,
    number: usize,
    target: &ControllerTarget,
) -> Atom {
    let name = format!("controller{number}");
    let row = controller_columns()
        .with("target", target.to_string())
        .with("external_ids", marks(wanted.identity.kind, Object::Controller));
    plan.operations.push(Operation::insert_named("Controller", name.as_str(), row));
    Atom::NamedUuid(name)
}

/// Takes off the bridge what is no longer wanted of its tunnels, trunk and listener.
fn remove_unwanted(plan: &mut Plan, tables: &Tables, wanted: &Wanted<'_>, bridge: Uuid) {
    let links: BTreeSet<_> =
        wanted.switch.links.iter().map(|link| link.interface.as_str()).collect();
    let trunk = wanted.switch.trunk.as_ref().map(|trunk| trunk.interface.as_str());
    let mut unwanted: Vec<&str> = tables
        .rows("Interface")
        .filter_map(|(_, row)| {
            let name = row.string("name")?;
            let kind = wanted.identity.kind;
            let is_unwanted = is_marked(row, kind, Object::Link) && !links.contains(name)
                || is_marked(row, kind, Object::Trunk) && trunk != Some(name)
                || is_marked(row, kind, Object::Listener) && !wanted.needs_listener();
            is_unwanted.then_some(name)
        })
        .collect();
    unwanted.sort_unstable();
    let removals = unwanted.into_iter().filter_map(|name| take_port_off(tables, bridge, name));
    plan.operations.extend(removals);
}

/// A tunnel, trunk or listener.
struct Interface<'a> {
    object: Object,
    name: &'a str,
    /// Unique in the transaction.
    label: String,
    /// What decides how it works.
    columns: Row,
}

/// Makes an interface, or changes what differs. Returns whether it is new.
fn put_interface(
    plan: &mut Plan,
    tables: &Tables,
    identity: &Identity,
    bridge: &Value,
    interface: Interface<'_>,
) -> Result<bool, AgentError> {
    let Interface { object, name, label, columns } = interface;
    if identity.find_interface(tables, name, object)?.is_some() {
        if let Some((uuid, row)) = tables.find("Interface", name) {
            plan.operations.extend(update("Interface", uuid, row, &columns));
        }
        return Ok(false);
    }
    let port = Row::new().with("name", name).with("external_ids", marks(identity.kind, object));
    let columns = columns.with("name", name).with("external_ids", marks(identity.kind, object));
    plan.operations.extend(insert_port(bridge.clone(), &label, port, columns));
    Ok(true)
}

fn link_columns(link: &Link) -> Row {
    let options = [
        ("remote_ip", link.remote.to_string()),
        ("local_ip", link.local.to_string()),
        ("key", "flow".to_owned()),
        ("dst_port", link.udp_port.to_string()),
    ];
    Row::new()
        .with("type", "geneve")
        .with("options", Value::map(options))
        .with("bfd", Value::map(bfd_columns(link)))
}

fn listener_columns(udp_port: u16) -> Row {
    let options = [
        ("remote_ip", "flow".to_owned()),
        ("key", "flow".to_owned()),
        ("dst_port", udp_port.to_string()),
    ];
    Row::new().with("type", "geneve").with("options", Value::map(options))
}

/// How Open vSwitch is to watch a tunnel; nothing: not at all.
fn bfd_columns(link: &Link) -> Vec<(&'static str, String)> {
    let Some(interval) = link.bfd_interval_ms else { return Vec::new() };
    vec![
        ("enable", "true".to_owned()),
        ("min_tx", interval.to_string()),
        ("min_rx", interval.to_string()),
    ]
}

fn trunk_columns(trunk: &Trunk) -> Row {
    Row::new().with("type", "patch").with("options", Value::map([("peer", trunk.peer.as_str())]))
}
